//! `concurrency = 16`, and `ordered` with it

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitInt, LitStr, Path, Result};

use super::value::Value;
use crate::options::Options;

/// How many events a subscriber handles at a time.
pub(super) struct Concurrency {
    /// `None` for one.
    pub(super) handlers: Option<u16>,
    /// Events of one key run in order all the same.
    pub(super) ordered: Option<Order>,
}

/// Where events of one key run in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `ordered`: within each process.
    Process,
    /// `ordered = "service"`: over all processes of the service.
    Service,
}

impl Value for Order {
    fn expand(&self, krate: &Path) -> TokenStream {
        let order = quote!(#krate::__private::Order);
        let order = match self {
            Order::Process => quote!(#order::Process),
            Order::Service => quote!(#order::Service),
        };
        quote!(::core::option::Option::Some(#order))
    }
}

/// Takes both options.
pub(super) fn concurrency(options: &mut Options<'_>) -> Concurrency {
    let is_default = !options.has("concurrency");
    let handlers = options.number("concurrency", 16, handlers);
    let handlers = handlers.or(is_default.then_some(1));
    if options.has("pattern") {
        options.contradict(
            "ordered",
            "only events of one type have a key to be ordered by: leave `ordered` out",
        );
    } else if options.has("broadcast") && !options.is_bare("ordered") {
        options.contradict(
            "ordered",
            "every process handles what is `broadcast`: write `ordered` for the order within each",
        );
    } else if handlers == Some(1) && options.is_bare("ordered") {
        options.contradict(
            "ordered",
            "one event at a time is in order already: \
             add `concurrency = 16`, or leave `ordered` out",
        );
    }
    let handlers = handlers.filter(|&handlers| handlers > 1);
    Concurrency { handlers, ordered: ordered(options) }
}

fn ordered(options: &mut Options<'_>) -> Option<Order> {
    if options.is_bare("ordered") {
        return options.flag("ordered").map(|_| Order::Process);
    }
    options.string("ordered", "service", |scope: LitStr| match scope.value().as_str() {
        "service" => Ok(Order::Service),
        _ => Err(Error::new(
            scope.span(),
            "write `ordered` for the order within a process, or `ordered = \"service\"` for the \
             order over all processes of the service",
        )),
    })
}

fn handlers(number: LitInt) -> Result<u16> {
    let message = match number.base10_parse() {
        Ok(0) => "a subscriber handles at least one event at a time, which is the default".into(),
        Ok(handlers) => return Ok(handlers),
        Err(_) => format!("a subscriber handles at most {} events at a time", u16::MAX),
    };
    Err(Error::new(number.span(), message))
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use quote::quote;

    use super::*;
    use crate::errors::Errors;

    fn read(list: TokenStream) -> ((Option<u16>, Option<Order>), Vec<String>) {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        let Concurrency { handlers, ordered } = concurrency(&mut options);
        ((handlers, ordered), errors.messages())
    }

    #[test]
    fn one_event_is_handled_at_a_time_unless_written() {
        for (list, handlers, ordered) in [
            (quote!(), None, None),
            (quote!(concurrency = 1), None, None),
            (quote!(concurrency = 65_535), Some(65_535), None),
            (quote!(ordered, concurrency = 0x10), Some(16), Some(Order::Process)),
            (quote!(ordered, concurrency = 2, broadcast), Some(2), Some(Order::Process)),
            (quote!(ordered = "service", concurrency = 2), Some(2), Some(Order::Service)),
            (quote!(ordered = "service"), None, Some(Order::Service)),
            (quote!(concurrency = 16, pattern = "order.*"), Some(16), None),
        ] {
            assert_eq!(read(list), ((handlers, ordered), vec![]));
        }
    }

    #[test]
    fn a_number_out_of_range_is_refused_and_the_one_mistake() {
        for number in [quote!(0), quote!(65536), quote!(99999999999999999999), quote!("many")] {
            let (_, messages) = read(quote!(concurrency = #number, ordered));
            assert_eq!(messages.len(), 1, "{messages:?}");
        }
    }

    #[test]
    fn order_needs_keys_and_more_than_one_event_at_a_time() {
        for list in [quote!(ordered), quote!(concurrency = 1, ordered)] {
            assert_eq!(
                read(list).1,
                ["one event at a time is in order already: \
                  add `concurrency = 16`, or leave `ordered` out"]
            );
        }
        for list in [
            quote!(pattern = "order.*", ordered),
            quote!(pattern = "order.*", ordered = "service"),
            quote!(pattern = "order.*", ordered, concurrency = 2),
        ] {
            assert_eq!(
                read(list).1,
                ["only events of one type have a key to be ordered by: \
                  leave `ordered` out"]
            );
        }
    }

    #[test]
    fn order_is_that_of_a_process_or_of_a_service() {
        for list in [quote!(ordered = "process"), quote!(ordered = "", concurrency = 4)] {
            assert_eq!(
                read(list).1,
                [
                    "write `ordered` for the order within a process, or `ordered = \"service\"` for the \
                  order over all processes of the service"
                ]
            );
        }
        for list in [quote!(ordered = service), quote!(ordered("service")), quote!(ordered = true)]
        {
            assert_eq!(read(list).1, ["`ordered` takes a string: write `ordered = \"service\"`"]);
        }
        assert_eq!(
            read(quote!(broadcast, ordered = "service")).1,
            [
                "every process handles what is `broadcast`: write `ordered` for the order within each"
            ]
        );
    }
}
