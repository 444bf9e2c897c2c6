//! The `#[cfg]`s of a function, which its registration has to share.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Meta, MetaList};

/// The attribute, reduced to what decides whether the function is there at all.
///
/// A `#[cfg_attr]` may add any attribute: only the `cfg`s in it are for a `const`, too.
pub(super) fn condition(attr: &Attribute) -> Option<TokenStream> {
    let Meta::List(MetaList { path, tokens, .. }) = &attr.meta else {
        return None;
    };
    if path.is_ident("cfg") {
        return Some(quote!(#attr));
    }
    if !path.is_ident("cfg_attr") {
        return None;
    }
    let mut entries = split_at_commas(tokens.clone()).into_iter();
    let predicate = entries.next()?;
    let conditions: Vec<_> = entries.filter(is_cfg).collect();
    (!conditions.is_empty()).then(|| quote!(#[cfg_attr(#predicate, #(#conditions),*)]))
}

fn is_cfg(attribute: &TokenStream) -> bool {
    matches!(attribute.clone().into_iter().next(), Some(TokenTree::Ident(ident)) if ident == "cfg")
}

fn split_at_commas(tokens: TokenStream) -> Vec<TokenStream> {
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.split(is_comma).map(|entry| entry.iter().cloned().collect()).collect()
}
