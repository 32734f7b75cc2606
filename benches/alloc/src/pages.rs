//! The mixes: what a snapshot would have to save.

use crate::figures::{metric, ratio};
use crate::programs::{Figures, Programs};
use stillheap_alloc::{Error, INTERVALS, MIXES, set_huge_pages};

pub(crate) fn run(
    programs: &Programs,
    allocators: &[&str],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    // For the programs that are started from now on.
    set_huge_pages(false)?;
    for mix in MIXES.into_iter().filter(|mix| is_wanted(mix)) {
        let mut results = Vec::new();
        for allocator in allocators {
            let figures = programs.run(allocator, &["dirty", mix])?;
            if figure(&figures, "unavailable").is_ok() {
                println!("pages written are left out: the kernel cannot tell (Linux 6.7 can)");
                return Ok(());
            }
            results.push((*allocator, figures));
        }
        for (operations, _) in INTERVALS {
            report(&format!("alloc.{mix}.every_{operations}"), operations, &results)?;
        }
    }
    Ok(())
}

fn report(name: &str, operations: usize, results: &[(&str, Figures)]) -> Result<(), Error> {
    let told = |figures, what| figure(figures, &format!("dirty_{what}_{operations}"));
    for (allocator, figures) in results {
        let print = |what, unit| -> Result<(), Error> {
            let value = told(figures, what)?;
            metric(&format!("{name}.dirty_{what}_per_kop.{allocator}"), value, unit);
            Ok(())
        };
        print("pages", "pages")?;
        print("chunks", "chunks")?;
        if *allocator == "ours" {
            if told(figures, "tables")? == 0.0 {
                return Err("the allocator's tables do not lie where they are looked for".into());
            }
            print("tables", "pages")?;
            print("side", "pages")?;
        }
    }
    let ours = results.iter().find(|(allocator, _)| *allocator == "ours");
    for (other, figures) in results.iter().filter(|(allocator, _)| *allocator != "ours") {
        if let Some((_, ours)) = ours {
            let over = told(ours, "pages")? / told(figures, "pages")?;
            ratio(&format!("{name}.dirty_pages.ours_over_{other}"), over);
        }
    }
    Ok(())
}

fn figure(figures: &Figures, name: &str) -> Result<f64, Error> {
    let found = figures.iter().find(|(told, _)| told == name);
    Ok(found.ok_or_else(|| format!("a child did not tell {name}"))?.1)
}
