//! What a backend needs to know about the bus it carries.
//!
//! - [`BackendConfig`]: all of it, with a safe default for each setting. The table of the settings that every backend
//!   has stands beside it;
//! - [`Setting`]: how a backend declares one of its own, and [`read`]: what its values can be;
//! - [`BusUrl`]: where the broker is, in a type that never prints a password;
//! - [`ExchangeType`], [`QueueType`], [`Unroutable`], [`Format`]: settings that are one of a few words.

mod backend;
mod choice;
mod mask;
pub mod read;
mod setting;
mod url;

pub use self::{
    backend::{BackendConfig, COMMON, Common, PREFETCH},
    choice::{ExchangeType, Format, InvalidChoice, QueueType, Unroutable},
    setting::{AnySetting, Read, Setting},
    url::{BusUrl, InvalidUrl},
};
