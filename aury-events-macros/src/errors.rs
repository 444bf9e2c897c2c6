//! The mistakes found in one item, reported together.

use std::{cell::RefCell, fmt::Display};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, Result};

/// Why a value is refused, and what to write instead.
pub(crate) type Verdict = std::result::Result<(), String>;

/// Collects mistakes while an item is parsed, so that the user sees all of them at once.
///
/// Shared by reference: whoever parses a part reports what it finds and goes on with what is left.
#[derive(Default)]
pub(crate) struct Errors(RefCell<Option<Error>>);

impl Errors {
    /// Reports the tokens that are wrong, and says what to write instead.
    pub(crate) fn refuse(&self, culprit: impl ToTokens, message: impl Display) {
        self.add(Error::new_spanned(culprit, message));
    }

    /// The value, or nothing and its error collected.
    pub(crate) fn keep<T>(&self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    fn add(&self, error: Error) {
        match &mut *self.0.borrow_mut() {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// One `compile_error!` for each mistake.
    pub(crate) fn into_compile_errors(self) -> Option<TokenStream> {
        self.0.into_inner().map(Error::into_compile_error)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proc_macro2::{Ident, Span};

    use super::*;

    impl Errors {
        /// Every message, in the order of the mistakes.
        pub(crate) fn messages(self) -> Vec<String> {
            let errors = self.0.into_inner().into_iter().flatten();
            errors.map(|error| error.to_string()).collect()
        }
    }

    #[test]
    fn mistakes_are_reported_together_and_in_order() {
        let errors = Errors::default();
        errors.refuse(Ident::new("culprit", Span::call_site()), "first");
        assert_eq!(errors.keep(Ok(1)), Some(1));
        assert_eq!(errors.keep::<()>(Err(Error::new(Span::call_site(), "second"))), None);
        assert_eq!(errors.messages(), ["first", "second"]);
    }
}
