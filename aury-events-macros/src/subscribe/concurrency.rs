//! `concurrency = 16`, and `ordered` with it

use proc_macro2::Ident;
use syn::{Error, LitInt, Result};

use crate::options::Options;

/// How many events a subscriber handles at a time.
pub(super) struct Concurrency {
    /// `None` for one.
    pub(super) handlers: Option<u16>,
    /// Events of one key run in order all the same.
    pub(super) ordered: Option<Ident>,
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
    } else if handlers == Some(1) {
        options.contradict(
            "ordered",
            "one event at a time is in order already: \
             add `concurrency = 16`, or leave `ordered` out",
        );
    }
    let handlers = handlers.filter(|&handlers| handlers > 1);
    Concurrency { handlers, ordered: options.flag("ordered") }
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

    fn read(list: TokenStream) -> ((Option<u16>, bool), Vec<String>) {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        let Concurrency { handlers, ordered } = concurrency(&mut options);
        ((handlers, ordered.is_some()), errors.messages())
    }

    #[test]
    fn one_event_is_handled_at_a_time_unless_written() {
        for (list, handlers, ordered) in [
            (quote!(), None, false),
            (quote!(concurrency = 1), None, false),
            (quote!(concurrency = 65_535), Some(65_535), false),
            (quote!(ordered, concurrency = 0x10), Some(16), true),
            (quote!(concurrency = 16, pattern = "order.*"), Some(16), false),
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
            quote!(pattern = "order.*", ordered, concurrency = 2),
        ] {
            assert_eq!(
                read(list).1,
                ["only events of one type have a key to be ordered by: \
                  leave `ordered` out"]
            );
        }
    }
}
