//! What is not durable does not compile, and the compiler says what to do.

/// The compiler whose messages are stored; another one words them differently.
const WORDED_BY: &str = "rustc 1.95.";

#[test]
fn what_is_not_durable_does_not_compile() {
    let compiler = env!("STILLHEAP_COMPILER");
    if !compiler.starts_with(WORDED_BY) {
        eprintln!("skipped: the messages are those of {WORDED_BY}*, and this is {compiler}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
