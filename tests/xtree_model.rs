//! The X-tree against a naive list, under random sequences of all operations, in several
//! dimensions. `STILLHEAP_LONG=1` makes it a hundred times as many.

mod xtree_support;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use xtree_support::operations;

fn sequences<const D: usize>() {
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    // Wide rows take their time in a debug build.
    let cases = if D > 8 { 8 } else { 24 } * if long { 100 } else { 1 };
    let config = ProptestConfig { cases, max_shrink_iters: 2000, ..ProptestConfig::default() };
    let bytes = prop::collection::vec(any::<u8>(), 0..200 * (D + 4));
    let result = TestRunner::new(config).run(&bytes, |bytes| {
        operations::run::<D>(&bytes);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn in_1_dimension() {
    sequences::<1>();
}

#[test]
fn in_2_dimensions() {
    sequences::<2>();
}

#[test]
fn in_3_dimensions() {
    sequences::<3>();
}

#[test]
fn in_8_dimensions() {
    sequences::<8>();
}

#[test]
fn in_16_dimensions() {
    sequences::<16>();
}

#[test]
fn in_32_dimensions() {
    sequences::<32>();
}
