//! What the compiler says about mistakes with `#[derive(Event)]` and `#[subscribe]`.
//!
//! A file is named after the mistake in it; beside it stands what the user reads. The messages
//! under `event` and `subscribe` are the macros' own, and the same with every compiler. Those under
//! `compiler` are about types, which macros do not see: the runtime's traits say what is wrong by
//! `#[diagnostic::on_unimplemented]`, and the compiler, here 1.95, puts words of its own around
//! that. After an update of the compiler, run with `TRYBUILD=overwrite`, and read them again.

use trybuild::TestCases;

#[test]
fn what_is_right_compiles_and_runs() {
    TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn mistakes_are_reported_where_they_are_and_with_what_to_write_instead() {
    let cases = TestCases::new();
    cases.compile_fail("ui/event/*.rs");
    cases.compile_fail("ui/subscribe/*.rs");
}

#[test]
fn a_type_that_does_not_fit_is_reported_in_the_signature() {
    TestCases::new().compile_fail("ui/compiler/*.rs");
}
