//! `#[subscribe]`

mod batch;
mod concurrency;
mod condition;
mod expand;
mod parameter;
mod parse;
mod policies;
mod retry;
mod value;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Ident, LitStr, Path, Type};

use self::policies::Policies;
use crate::errors::Errors;

/// A function that handles events, and what is written about it.
struct Subscriber {
    /// Where the user's crate finds aury-events.
    krate: Path,
    /// The `#[cfg]`s of the function: its registration comes and goes with it.
    conditions: Vec<TokenStream>,
    function: Ident,
    topic: Topic,
    extractors: Vec<Type>,
    /// As written, if it is.
    output: Option<Type>,
    bus: Option<LitStr>,
    name: Option<LitStr>,
    when: Option<Expr>,
    retry_if: Option<Expr>,
    /// How its deliveries are treated.
    policies: Policies,
}

/// What a subscriber hears of.
enum Topic {
    /// The events of one type.
    Event { ty: Box<Type>, passed: Passed },
    /// All events with a name that the pattern matches, as `&AnyEvent`.
    Pattern(LitStr),
}

/// How a function takes its event: as `&E`, `E` or `Arc<E>`; in a batch, as `&[Arc<E>]`, `Vec<E>` or `Vec<Arc<E>>`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Passed {
    ByReference,
    ByValue,
    Shared,
}

/// The function stays as it is written, even with mistakes: otherwise its callers and its imports
/// would be reported too.
pub(crate) fn subscribe(options: TokenStream, function: TokenStream) -> TokenStream {
    let errors = Errors::default();
    let subscriber = parse::parse(options, function.clone(), &errors);
    let errors = errors.into_compile_errors();
    let registration = match errors {
        None => subscriber.map(expand::expand),
        Some(_) => None,
    };
    quote!(#function #registration #errors)
}
