//! The configuration of buses, from code and from the environment.
//!
//! Both ways lead to a [`BusConfig`], which is checked once, at start-up, by [`BusConfig::validate`].
//!
//! - [`bus`] and [`validate`]: the configuration of one bus, and what makes it unusable;
//! - [`mod@env`]: the process's environment, as configuration;
//! - [`values`]: what the value of a setting may be, in either;
//! - [`problem`]: what is wrong, naming each [`setting`] as the user wrote it;
//! - [`filter`]: which subscribers this process runs;
//! - [`mod@nearest`]: what a misspelt word was probably meant to be.

mod bus;
mod env;
mod filter;
mod nearest;
mod problem;
mod setting;
mod validate;
mod values;

pub use self::{bus::BusConfig, problem::ConfigProblem};
pub(crate) use self::{
    env::Environment,
    filter::SubscriberFilter,
    nearest::nearest,
    validate::{check_bus, check_service, check_source, check_subscribers, known_backends},
};
