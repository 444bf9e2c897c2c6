//! From an [`Event`] to its implementation of `aury_events::Event` and its entry in the catalogue.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use super::{Event, Key};

pub(super) fn expand(event: Event) -> TokenStream {
    let Event { krate, ident, name, .. } = &event;
    let version = event.version.map(|version| quote!(const VERSION: u32 = #version;));
    let bus = event.bus.as_ref().map(|bus| quote!(const BUS: &'static str = #bus;));
    let key = event.key.as_ref().map(|key| key_method(&event, key));
    // The line of the type's name, not that of the attribute above its documentation.
    let location = quote_spanned!(ident.span()=> ::core::file!(), ::core::line!());

    quote! {
        #[automatically_derived]
        impl #krate::Event for #ident {
            const NAME: &'static str = #name;
            #version
            #bus
            #key
        }

        const _: () = {
            #krate::__private::inventory::submit! {
                #krate::__private::EventEntry::of::<#ident>(
                    #krate::__private::Location::new(#location),
                    ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident)),
                )
            }
        };
    }
}

fn key_method(Event { krate, .. }: &Event, key: &Key) -> TokenStream {
    let key = match key {
        // The type is written out so that the compiler blames it when it cannot be a key.
        Key::Field { member, ty } => {
            let event_key = quote_spanned!(ty.span()=> <#ty as #krate::EventKey>::event_key);
            quote!(#event_key(&self.#member))
        }
        Key::Function(path) => {
            let displayed = quote_spanned!(path.span()=> #krate::__private::displayed);
            quote!(#displayed(#path(self)))
        }
    };
    quote! {
        fn key(&self) -> ::core::option::Option<::std::borrow::Cow<'_, str>> {
            #key
        }
    }
}
