use std::sync::MutexGuard;

#[derive(stillheap::typed::Durable)]
struct Root {
    guard: MutexGuard<'static, u32>,
}

fn main() {}
