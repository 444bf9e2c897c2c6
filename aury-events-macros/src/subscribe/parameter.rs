//! What the types of a function's parameters say, going by how they are written.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Error, GenericArgument, PathArguments, PathSegment, Result, Type, TypeReference};

use super::Passed;

/// A function's first parameter.
pub(super) enum Input {
    Event { ty: Box<Type>, passed: Passed },
    AnyEvent(Box<Type>),
}

/// The framework's own extractors.
const EXTRACTORS: [&str; 5] = ["Context", "State", "EventBus", "TraceId", "Receipt"];

/// Refuses an event behind an extractor. An event of one's own may be called like one.
pub(super) fn event_first(parameters: &[&Type]) -> Result<()> {
    let Some((first, others)) = parameters.split_first() else { return Ok(()) };
    let is_extractor =
        last_segment(first).is_some_and(|it| EXTRACTORS.iter().any(|name| it.ident == name));
    let is_event =
        |ty: &&&Type| matches!(ungrouped(ty), Type::Reference(_)) || arc_of(ty).is_some();
    match others.iter().find(is_event).filter(|_| is_extractor) {
        Some(event) => Err(Error::new_spanned(
            event,
            "the event comes first: write this parameter before the others",
        )),
        None => Ok(()),
    }
}

/// The first parameter: the event.
pub(super) fn input(ty: &Type) -> Result<Input> {
    refuse_impl_trait(ty)?;
    match ungrouped(ty) {
        Type::Reference(reference) => borrowed(reference),
        owned if is_any_event(owned) => Err(any_event_is_lent(ty)),
        owned => match arc_of(owned) {
            Some(shared) if is_any_event(shared) => Err(any_event_is_lent(ty)),
            Some(shared) => event(shared, Passed::Shared),
            None => event(owned, Passed::ByValue),
        },
    }
}

/// The first parameter of a function that takes batches.
pub(super) fn batch_input(ty: &Type) -> Result<Input> {
    refuse_impl_trait(ty)?;
    let (events, is_lent) = match ungrouped(ty) {
        Type::Reference(TypeReference { mutability: None, lifetime: None, elem, .. }) => {
            match ungrouped(elem) {
                Type::Slice(slice) => (Some(&*slice.elem), true),
                _ => (None, true),
            }
        }
        owned => (argument_of("Vec", owned), false),
    };
    if events.is_some_and(|events| is_any_event(arc_of(events).unwrap_or(events))) {
        return Err(Error::new_spanned(ty, "a batch is of one type of event: take `Vec<E>`"));
    }
    match (events.map(|event| (event, arc_of(event))), is_lent) {
        (Some((_, Some(shared))), true) => event(shared, Passed::ByReference),
        (Some((_, Some(shared))), false) => event(shared, Passed::Shared),
        (Some((owned, None)), false) => event(owned, Passed::ByValue),
        _ => Err(Error::new_spanned(
            ty,
            "a batch comes as `&[Arc<E>]`, `Vec<Arc<E>>` or `Vec<E>`, of a type `E` that derives `Event`",
        )),
    }
}

/// A further parameter: an extractor.
pub(super) fn extractor(ty: &Type) -> Result<Type> {
    refuse_impl_trait(ty)?;
    match ungrouped(ty) {
        Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "only the event comes as a reference: take what follows it by value, without `&`",
        )),
        owned => Ok(owned.clone()),
    }
}

fn borrowed(reference: &TypeReference) -> Result<Input> {
    let TypeReference { and_token, lifetime, mutability, elem, .. } = reference;
    if mutability.is_some() {
        let culprit = quote!(#and_token #lifetime #mutability);
        return Err(Error::new_spanned(culprit, "events are immutable: take `&E`, without `mut`"));
    }
    // Any other lifetime is a parameter of the function, and refused as such.
    if let Some(lifetime) = lifetime.as_ref().filter(|lifetime| lifetime.ident == "static") {
        let message = "an event is lent for one call: take `&E`, or `Arc<E>` to keep it";
        return Err(Error::new_spanned(lifetime, message));
    }
    match ungrouped(elem) {
        Type::Slice(_) => Err(Error::new_spanned(
            reference,
            "a subscriber takes one event at a time: take `&E`, or add `batch = 100`",
        )),
        shared if arc_of(shared).is_some() => Err(Error::new_spanned(
            and_token,
            "an `Arc` is passed by value: take `Arc<E>`, without `&`",
        )),
        any if is_any_event(any) => {
            Ok(Input::AnyEvent(Box::new(Type::Reference(reference.clone()))))
        }
        lent => event(lent, Passed::ByReference),
    }
}

/// Only a type with a name can be an event.
fn event(ty: &Type, passed: Passed) -> Result<Input> {
    match ungrouped(ty) {
        Type::Path(_) | Type::Macro(_) => Ok(Input::Event { ty: Box::new(ty.clone()), passed }),
        _ => Err(Error::new_spanned(
            ty,
            "a subscriber's first parameter is its event: \
             take `E`, `&E` or `Arc<E>` of a type `E` that derives `Event`",
        )),
    }
}

fn any_event_is_lent(ty: &Type) -> Error {
    Error::new_spanned(ty, "an event that a pattern matched is lent for one call: take `&AnyEvent`")
}

fn is_any_event(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "AnyEvent")
}

/// The `E` of `Arc<E>`.
fn arc_of(ty: &Type) -> Option<&Type> {
    argument_of("Arc", ty)
}

/// The `E` of a type of that name, `Name<E>`.
fn argument_of<'a>(name: &str, ty: &'a Type) -> Option<&'a Type> {
    let PathSegment { ident, arguments } = last_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(shared)) if ident == name && arguments.args.len() == 1 => {
            Some(shared)
        }
        _ => None,
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ungrouped(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The type itself, out of parentheses and the invisible groups that `macro_rules!` passes on.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        ty => ty,
    }
}

fn refuse_impl_trait(ty: &Type) -> Result<()> {
    match find_impl(ty.to_token_stream()) {
        Some(token) => Err(Error::new(
            token.span(),
            "a subscriber cannot be generic, and `impl` makes it so: name the type",
        )),
        None => Ok(()),
    }
}

/// Whether the type is `()`.
pub(super) fn is_unit(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The first `impl` in a type, however deep.
pub(super) fn find_impl(ty: TokenStream) -> Option<Ident> {
    ty.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident == "impl" => Some(ident),
        TokenTree::Group(group) => find_impl(group.stream()),
        _ => None,
    })
}
