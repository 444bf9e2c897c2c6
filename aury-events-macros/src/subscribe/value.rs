//! The values of options, as the runtime takes them.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Path;

use crate::duration::Millis;

/// The value of an option, of a type of its own where it has parts.
pub(super) trait Value {
    /// As the runtime's field takes it.
    fn expand(&self, krate: &Path) -> TokenStream;
}

/// A flag, which is there.
impl Value for Ident {
    fn expand(&self, _: &Path) -> TokenStream {
        quote!(true)
    }
}

/// A number of things.
impl Value for u16 {
    fn expand(&self, _: &Path) -> TokenStream {
        let number = usize::from(*self);
        quote!(#number)
    }
}

/// A limit.
impl Value for Millis {
    fn expand(&self, _: &Path) -> TokenStream {
        quote!(::core::option::Option::Some(#self))
    }
}
