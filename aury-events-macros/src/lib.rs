//! The macros of [aury-events](https://docs.rs/aury-events). Use them through that crate.

mod dotted;
mod errors;
mod event;
mod name;
mod nearest;
mod options;
mod subscribe;

use proc_macro::TokenStream;

/// Event.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    event::derive(input.into()).into()
}

/// Subscribe.
#[proc_macro_attribute]
pub fn subscribe(options: TokenStream, function: TokenStream) -> TokenStream {
    subscribe::subscribe(options.into(), function.into()).into()
}
