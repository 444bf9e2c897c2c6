//! How deliveries are treated: one row for each option, from the words of the user to a field of the runtime's `Options`.
//!
//! An option that says something else (`bus`, `name`, `when`, `pattern`, `retry_if`) stands in [`super::parse`].

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::Path;

use super::{batch::batch, concurrency::concurrency, retry::retry, value::Value};
use crate::{duration::Millis, errors::Verdict, options::Options};

/// Takes the options, and says which of them do not go together.
pub(super) fn policies(options: &mut Options<'_>) -> Policies {
    if options.has("broadcast") {
        options.contradict(
            "idempotent",
            "every process handles what is `broadcast`, whatever another has handled: \
             leave one of the two out",
        );
    }

    let mut policies = Policies::default();
    policies.set("batch", batch(options));
    policies.set("retry", retry(options));
    policies.set("timeout", options.duration("timeout", "30s", timeout));
    let concurrency = concurrency(options);
    policies.set("concurrency", concurrency.handlers);
    policies.set("ordered", concurrency.ordered);
    policies.set("idempotent", options.flag("idempotent"));
    policies.set("durable", options.flag("durable"));
    policies.set("broadcast", options.flag("broadcast"));
    policies
}

fn timeout(limit: Millis) -> Verdict {
    match limit {
        Millis(0) => {
            Err("a timeout is more than zero: leave `timeout` out for no limit".to_owned())
        }
        _ => Ok(()),
    }
}

/// The options that are not as the runtime has them by default.
#[derive(Default)]
pub(super) struct Policies(Vec<Policy>);

struct Policy {
    /// The runtime's field, which bears the name of the option.
    field: &'static str,
    value: Box<dyn Value>,
}

impl Policies {
    fn set(&mut self, field: &'static str, value: Option<impl Value + 'static>) {
        let policy = value.map(|value| Policy { field, value: Box::new(value) });
        self.0.extend(policy);
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.iter().any(|policy| policy.field == field)
    }

    /// The runtime's `Options`.
    pub(super) fn expand(&self, krate: &Path) -> TokenStream {
        let options = quote!(#krate::__private::Options);
        if self.0.is_empty() {
            return quote!(#options::DEFAULT);
        }
        let fields = self.0.iter().map(|Policy { field, value }| {
            let field = Ident::new(field, Span::call_site());
            let value = value.expand(krate);
            quote!(#field: #value)
        });
        quote!(#options { #(#fields,)* ..#options::DEFAULT })
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;
    use crate::errors::Errors;

    fn read(list: TokenStream) -> (String, Vec<String>) {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        let policies = policies(&mut options);
        (policies.expand(&parse_quote!(::aury_events)).to_string(), errors.messages())
    }

    fn expand(list: TokenStream) -> String {
        let (expanded, errors) = read(list);
        assert_eq!(errors, [""; 0]);
        expanded
    }

    fn expected(fields: TokenStream) -> String {
        let options = quote!(::aury_events::__private::Options);
        quote!(#options { #fields ..#options::DEFAULT }).to_string()
    }

    #[test]
    fn only_what_is_asked_for_is_set() {
        let default = quote!(::aury_events::__private::Options::DEFAULT).to_string();
        assert_eq!(expand(quote!()), default);
        assert_eq!(expand(quote!(concurrency = 1)), default);
        assert_eq!(
            expand(quote!(broadcast, durable, ordered, concurrency = 16, timeout = "1m")),
            expected(quote! {
                timeout: ::core::option::Option::Some(::core::time::Duration::from_millis(60000u64)),
                concurrency: 16usize,
                ordered: ::core::option::Option::Some(::aury_events::__private::Order::Process),
                durable: true, broadcast: true,
            })
        );
    }

    #[test]
    fn a_batch_and_a_retry_have_parts() {
        assert_eq!(
            expand(quote!(batch = 10, retry = 5)),
            expected(quote! {
                batch: ::core::option::Option::Some(::aury_events::__private::Batch {
                    max: 10usize,
                    wait: ::core::time::Duration::from_millis(50u64)
                }),
                retry: ::core::option::Option::Some(
                    ::aury_events::Retry::attempts(5u32)
                        .delay(::core::time::Duration::from_millis(2000u64))
                        .jitter(false)
                ),
            })
        );
        assert_eq!(
            expand(quote!(retry(backoff = "exponential", factor = 1.5, max_delay = "5s"))),
            expected(quote! {
                retry: ::core::option::Option::Some(
                    ::aury_events::Retry::attempts(3u32)
                        .delay(::core::time::Duration::from_millis(2000u64))
                        .factor(1.5f64).max_delay(::core::time::Duration::from_millis(5000u64))
                        .jitter(true)
                ),
            })
        );
    }

    #[test]
    fn a_timeout_leaves_some_time() {
        let message = "a timeout is more than zero: leave `timeout` out for no limit";
        assert_eq!(read(quote!(timeout = "0s")).1, [message]);
        let message = "`timeout` takes a duration: write `timeout = \"30s\"`";
        assert_eq!(read(quote!(timeout = 30s)).1, [message]);
    }

    #[test]
    fn what_is_broadcast_is_not_idempotent() {
        assert_eq!(
            read(quote!(idempotent, broadcast)).1,
            ["every process handles what is `broadcast`, whatever another has handled: \
              leave one of the two out"]
        );
    }
}
