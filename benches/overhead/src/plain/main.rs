//! The workloads under mimalloc, on plain values.

use mimalloc::MiMalloc;
use stillheap_overhead::{Error, Inserts, Local, Mixed, Settings, Table, Workload, measure};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Error> {
    let settings = Settings::from_arguments()?;
    match settings.workload.as_str() {
        "xtree_mixed" => run::<Mixed>(&settings),
        "xtree_insert" => run::<Inserts>(&settings),
        "std" => run::<Table>(&settings),
        other => Err(format!("no such workload: {other}").into()),
    }
}

fn run<T: Workload>(settings: &Settings) -> Result<(), Error> {
    let mut home = Local::<T>::default();
    let result = measure(&mut home, settings.durations, || Ok(()), Ok);
    // The end of the process frees it faster.
    std::mem::forget(home);
    result
}
