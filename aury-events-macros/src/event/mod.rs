//! `#[derive(Event)]`

mod expand;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, LitStr, Member, Path, Type};

use crate::errors::Errors;

/// An event type and what is written about it.
struct Event {
    /// Where the user's crate finds aury-events.
    krate: Path,
    ident: Ident,
    name: LitStr,
    version: Option<u32>,
    bus: Option<LitStr>,
    key: Option<Key>,
}

/// Where the key comes from.
enum Key {
    /// The field marked `#[event(key)]`.
    Field { member: Member, ty: Box<Type> },
    /// The function of `#[event(key = path)]`.
    Function(Path),
}

/// A type with mistakes is an event all the same: otherwise each of its uses would be reported too.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let errors = Errors::default();
    let event = parse::parse(input, &errors).map(expand::expand);
    let errors = errors.into_compile_errors();
    quote!(#event #errors)
}
