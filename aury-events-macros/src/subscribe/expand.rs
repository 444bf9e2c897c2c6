//! From a [`Subscriber`] to an implementation of `aury_events::__private::Subscriber`, entered in
//! the list that start-up reads.
//!
//! Where the runtime has a bound on one of the user's types, that type is repeated as it stands in
//! the signature: the compiler then blames it there when it does not meet the bound.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, ext::IdentExt as _, spanned::Spanned as _};

use super::{Passed, Subscriber, Topic, parameter::find_impl};

pub(super) fn expand(subscriber: Subscriber) -> TokenStream {
    let Subscriber { krate, conditions, function, .. } = &subscriber;
    let name = function.unraw().to_string();
    let path = quote!(::core::concat!(::core::module_path!(), "::", #name));
    let id = subscriber.name.as_ref().map_or_else(|| path.clone(), ToTokens::to_token_stream);
    // The line of the function's name, not that of the attribute above its documentation.
    let location = quote_spanned!(function.span()=> ::core::file!(), ::core::line!());
    let bus = subscriber.bus();
    let topic = subscriber.topic();
    let options = subscriber.policies.expand(krate);
    let input = subscriber.input();
    let taken = match subscriber.takes_batches() {
        false => quote!(Self::Input),
        true => quote!(::std::vec::Vec<Self::Input>),
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
    fn takes_batches(&self) -> bool {
        self.policies.has("batch")
    }

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
            fn needs(needs: &mut #krate::__private::Needs) {
                #( #krate::__private::needs_of::<#extractors>(needs); )*
            }
        })
    }

    fn accepts(&self) -> Option<TokenStream> {
        let condition = self.when.as_ref()?;
        let event = self.event();
        let krate = &self.krate;
        let [input, when, received] = ["input", "when", "received"].map(local);
        // The types of a closure's parameters are told to it, those of a function are its own.
        let context = match condition {
            Expr::Closure(closure) if closure.inputs.len() == 2 => Some(quote!(, &#krate::Context)),
            _ => None,
        };
        let condition = match condition {
            Expr::Closure(_) => quote!({
                let #when: fn(&#event #context) -> bool = #condition;
                #when
            }),
            function => quote!(#function),
        };
        Some(quote! {
            fn accepts(
                #input: &Self::Input,
                #received: &#krate::__private::Received<'_>,
            ) -> ::core::result::Result<bool, #krate::BoxError> {
                #krate::__private::holds::<#event, _>(#condition, #input, #received)
            }
        })
    }

    fn call(&self) -> TokenStream {
        let Subscriber { krate, function, extractors, .. } = self;
        let input = local("input");
        let event = match &self.topic {
            Topic::Event { passed: Passed::ByValue, ty } if self.takes_batches() => quote! {
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
        let context = local("context");
        // One for all of them.
        let in_context = (!extractors.is_empty()).then(|| {
            quote! {
                #[allow(unused_imports)]
                use #krate::__private::NoParameter as _;
                let #context = #krate::__private::context()?;
            }
        });
        // To Clippy, a function that is a value needs to be `async`, whether it awaits or not.
        let called = local("called");
        let result = self.result(quote!(#called(#event, #(#extracted),*).await));
        // When the future is not `Send`, the function's name is where to say so. To lints it stays
        // what a macro wrote.
        let span = Span::call_site().located_at(function.span());
        quote_spanned! {span=>
            fn call(
                #input: Self::Taken,
            ) -> impl ::core::future::Future<Output = #krate::__private::HandlerResult>
            + ::core::marker::Send {
                async move {
                    #in_context
                    #(
                        let #extracted =
                            #krate::__private::Parameter::<#extractors>::NEW.extract(&#context).await?;
                    )*
                    let #called = #function;
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
