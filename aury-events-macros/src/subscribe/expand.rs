//! From a [`Subscriber`] to an implementation of `aury_events::__private::Subscriber`, entered in
//! the list that start-up reads.
//!
//! Where the runtime has a bound on one of the user's types, that type is repeated as it stands in
//! the signature: the compiler then blames it there when it does not meet the bound.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{ext::IdentExt as _, spanned::Spanned as _};

use super::{
    Passed, Subscriber, Topic,
    batch::Batch,
    concurrency::Concurrency,
    parameter::find_impl,
    retry::{Growth, Retry},
};

pub(super) fn expand(subscriber: Subscriber) -> TokenStream {
    let Subscriber { krate, conditions, function, .. } = &subscriber;
    let name = function.unraw().to_string();
    let path = quote!(::core::concat!(::core::module_path!(), "::", #name));
    let id = subscriber.name.as_ref().map_or_else(|| path.clone(), ToTokens::to_token_stream);
    // The line of the function's name, not that of the attribute above its documentation.
    let location = quote_spanned!(function.span()=> ::core::file!(), ::core::line!());
    let bus = subscriber.bus();
    let topic = subscriber.topic();
    let options = subscriber.options();
    let input = subscriber.input();
    let taken = match subscriber.batch {
        None => quote!(Self::Input),
        Some(_) => quote!(::std::vec::Vec<Self::Input>),
    };
    let needs = subscriber.needs();
    let accepts = subscriber.accepts();
    let call = subscriber.call();

    quote! {
        #(#conditions)*
        const _: () = {
            enum __AurySubscriber {}

            impl #krate::__private::Subscriber for __AurySubscriber {
                const ID: &'static str = #id;
                const PATH: &'static str = #path;
                const LOCATION: #krate::__private::Location =
                    #krate::__private::Location::new(#location);
                #bus
                #topic
                const OPTIONS: #krate::__private::Options = #options;
                type Input = #input;
                type Taken = #taken;
                #needs
                #accepts
                #call
            }

            #krate::__private::inventory::submit! {
                #krate::__private::SubscriberEntry::of::<__AurySubscriber>()
            }
        };
    }
}

impl Subscriber {
    /// Written where it is not the input's own.
    fn bus(&self) -> Option<TokenStream> {
        let bus = self.bus.as_ref()?;
        Some(quote!(const BUS: &'static str = #bus;))
    }

    /// Written where it is not the input's own.
    fn topic(&self) -> Option<TokenStream> {
        let krate = &self.krate;
        match &self.topic {
            Topic::Event { .. } => None,
            Topic::Pattern(pattern) => Some(quote! {
                const TOPIC: #krate::__private::StaticTopic =
                    #krate::__private::StaticTopic::pattern(#pattern);
            }),
        }
    }

    fn options(&self) -> TokenStream {
        let krate = &self.krate;
        let retry = self.retry.as_ref().map(|retry| self.retry(retry));
        let timeout = self.timeout.map(|limit| quote!(.timeout(#limit)));
        let concurrency = self.concurrency();
        let batch = self.batch.as_ref().map(|Batch { max, wait }| {
            let max = usize::from(*max);
            quote!(.batch(#max, #wait))
        });
        let idempotent = self.idempotent.then(|| quote!(.idempotent()));
        let durable = self.durable.then(|| quote!(.durable()));
        let broadcast = self.broadcast.then(|| quote!(.broadcast()));
        quote! {
            #krate::__private::Options::new()
                #retry #timeout #batch #concurrency #idempotent #durable #broadcast
        }
    }

    /// A delay that stays the same grows by 1, up to itself.
    fn retry(&self, Retry { attempts, delay, growth, jitter }: &Retry) -> TokenStream {
        let krate = &self.krate;
        let fixed = Growth { factor: 1.0, max_delay: *delay };
        let Growth { factor, max_delay } = growth.as_ref().unwrap_or(&fixed);
        quote! {
            .retry(#krate::__private::Retry {
                attempts: #attempts,
                delay: #delay,
                factor: #factor,
                max_delay: #max_delay,
                jitter: #jitter,
            })
        }
    }

    fn concurrency(&self) -> Option<TokenStream> {
        let Concurrency { handlers, ordered } = self.concurrency;
        let handlers = usize::from(handlers);
        let ordered = ordered.then(|| quote!(.ordered()));
        (handlers > 1).then(|| quote!(.concurrency(#handlers) #ordered))
    }

    /// The form in which the runtime hands the event over.
    fn input(&self) -> TokenStream {
        let krate = &self.krate;
        match &self.topic {
            Topic::Event { ty, .. } => quote_spanned!(ty.span()=> ::std::sync::Arc<#ty>),
            Topic::Pattern(_) => quote!(#krate::AnyEvent),
        }
    }

    /// What the condition looks at.
    fn event(&self) -> TokenStream {
        let krate = &self.krate;
        match &self.topic {
            Topic::Event { ty, .. } => quote!(#ty),
            Topic::Pattern(_) => quote!(#krate::AnyEvent),
        }
    }

    fn needs(&self) -> Option<TokenStream> {
        let Subscriber { krate, extractors, .. } = self;
        if extractors.is_empty() {
            return None;
        }
        Some(quote! {
            fn needs(needs: &mut #krate::Needs) {
                #( #krate::__private::extractor::<#extractors>().needs(needs); )*
            }
        })
    }

    fn accepts(&self) -> Option<TokenStream> {
        let condition = self.when.as_ref()?;
        let event = self.event();
        let (input, when) = (local("input"), local("when"));
        Some(quote! {
            fn accepts(#input: &Self::Input) -> bool {
                let #when: fn(&#event) -> bool = #condition;
                #when(#input)
            }
        })
    }

    fn call(&self) -> TokenStream {
        let Subscriber { krate, function, extractors, .. } = self;
        let input = local("input");
        let event = match &self.topic {
            Topic::Event { passed: Passed::ByValue, ty } if self.batch.is_some() => quote! {
                #input.into_iter()
                    .map(#krate::__private::owned::<#ty>)
                    .collect::<::std::vec::Vec<_>>()
            },
            Topic::Event { passed: Passed::ByValue, ty } => {
                quote!(#krate::__private::owned::<#ty>(#input))
            }
            Topic::Event { passed: Passed::Shared, .. } => quote!(#input),
            Topic::Event { passed: Passed::ByReference, .. } | Topic::Pattern(_) => {
                quote!(&#input)
            }
        };
        let extracted: Vec<_> =
            (0..extractors.len()).map(|index| local(&format!("extracted{index}"))).collect();
        let result = self.result(quote!(#function(#event, #(#extracted),*).await));
        // When the future is not `Send`, the function's name is where to say so. To lints it stays
        // what a macro wrote.
        let span = Span::call_site().located_at(function.span());
        quote_spanned! {span=>
            fn call(
                #input: Self::Taken,
            ) -> impl ::core::future::Future<Output = #krate::__private::HandlerResult>
            + ::core::marker::Send {
                async move {
                    #( let #extracted = #krate::__private::extractor::<#extractors>().extract()?; )*
                    #result
                }
            }
        }
    }

    /// What the function's output comes to. With `retry_if`, too, it is the return type in the
    /// signature that is blamed when it does not fit.
    fn result(&self, output: TokenStream) -> TokenStream {
        let krate = &self.krate;
        let ty = self.output();
        let Some(retry_if) = &self.retry_if else {
            return quote! {
                <#ty as #krate::__private::IntoHandlerResult>::into_handler_result(#output)
            };
        };
        let mut result = local("result");
        result.set_span(result.span().located_at(self.output.span()));
        quote! {
            let #result: #ty = #output;
            #krate::__private::retry_if(#result, #retry_if)
        }
    }

    /// The function's return type, as far as it can be named.
    fn output(&self) -> TokenStream {
        match &self.output {
            None => quote!(()),
            Some(output) if find_impl(output.to_token_stream()).is_some() => quote!(_),
            Some(output) => quote!(#output),
        }
    }
}

/// A variable that no expression of the user can mean.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{errors::Errors, subscribe::parse::parse};

    fn options(list: TokenStream) -> String {
        let errors = Errors::default();
        let function = quote!(
            async fn f(event: &OrderCreated) {}
        );
        let subscriber = parse(list, function, &errors);
        assert_eq!(errors.messages(), [""; 0]);
        subscriber.expect("it has no mistakes").options().to_string()
    }

    fn expected(options: TokenStream) -> String {
        quote!(::aury_events::__private::Options::new() #options).to_string()
    }

    #[test]
    fn only_what_is_asked_for_is_set() {
        assert_eq!(options(quote!()), expected(quote!()));
        assert_eq!(options(quote!(concurrency = 1)), expected(quote!()));
        assert_eq!(
            options(quote!(broadcast, durable, ordered, concurrency = 16, timeout = "1m")),
            expected(quote! {
                .timeout(::core::time::Duration::from_millis(60000u64))
                .concurrency(16usize).ordered().durable().broadcast()
            })
        );
    }

    #[test]
    fn a_fixed_delay_grows_by_one_up_to_itself() {
        assert_eq!(
            options(quote!(retry = 5)),
            expected(quote! {
                .retry(::aury_events::__private::Retry {
                    attempts: 5u32,
                    delay: ::core::time::Duration::from_millis(2000u64),
                    factor: 1f64,
                    max_delay: ::core::time::Duration::from_millis(2000u64),
                    jitter: false,
                })
            })
        );
        assert_eq!(
            options(quote!(retry(backoff = "exponential", factor = 1.5, max_delay = "5s"))),
            expected(quote! {
                .retry(::aury_events::__private::Retry {
                    attempts: 3u32,
                    delay: ::core::time::Duration::from_millis(2000u64),
                    factor: 1.5f64,
                    max_delay: ::core::time::Duration::from_millis(5000u64),
                    jitter: true,
                })
            })
        );
    }
}
