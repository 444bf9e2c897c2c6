//! The configuration of buses, from code and from the environment.
//!
//! Both ways lead to a [`BusConfig`], which is checked once, at start-up, by [`BusConfig::validate`].
//!
//! - [`bus`] and [`validate`]: the configuration of one bus, and what makes it unusable;
//! - [`mod@env`]: the process's environment, as configuration;
//! - [`declared`]: what the linked backends say about themselves, their settings above all;
//! - [`values`]: what names and identities may be;
//! - [`problem`] and [`warning`]: what is wrong, and what is probably a mistake, in the user's own [`spelling`];
//! - [`filter`]: which subscribers this process runs;
//! - [`mod@nearest`]: what a misspelt word was probably meant to be.

mod bus;
mod declared;
mod env;
mod filter;
mod nearest;
mod problem;
mod spelling;
#[cfg(test)]
mod testing;
mod validate;
mod values;
mod warning;

pub use self::{bus::BusConfig, problem::ConfigProblem};
pub(crate) use self::{
    env::Environment,
    filter::SubscriberFilter,
    nearest::nearest,
    validate::{check_bus, check_service, check_source, check_subscribers},
};
