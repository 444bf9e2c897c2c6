//! The life cycle of a user: registered with the first order, promoted for loyalty.

use std::collections::{HashMap, HashSet};

use aury_events::{DecodeError, PublishError, prelude::*, publish};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    orders::{OrderCreated, OrderPaid},
    report::{Report, number},
    values::Money,
};

/// A user who has paid this much is promoted.
const LOYAL: Money = Money::dollars(500);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "user.registered")]
struct UserRegistered {
    #[event(key)]
    customer: String,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "user.promoted")]
struct UserPromoted {
    #[event(key)]
    customer: String,
    paid: Money,
}

static LEDGER: Ledger<Users> = Ledger::new();

#[derive(Default)]
struct Users {
    known: HashSet<String>,
    paid: HashMap<String, Money>,
    promoted: u64,
    welcome_mails: u64,
    thank_you_mails: u64,
}

#[subscribe]
async fn register(order: &OrderCreated) -> Result<(), PublishError> {
    let is_new = LEDGER.open().known.insert(order.customer.clone());
    if is_new {
        publish(UserRegistered { customer: order.customer.clone() }).await?;
    }
    Ok(())
}

#[subscribe]
async fn promote(order: &OrderPaid) -> Result<(), PublishError> {
    let promotion = LEDGER.open().pay(order);
    if let Some(promotion) = promotion {
        publish(promotion).await?;
    }
    Ok(())
}

impl Users {
    /// Adds to what a user has paid; gives the promotion if this order brings it.
    fn pay(&mut self, order: &OrderPaid) -> Option<UserPromoted> {
        let paid = self.paid.entry(order.customer.clone()).or_default();
        let was_loyal = *paid >= LOYAL;
        *paid += order.amount;
        if was_loyal || *paid < LOYAL {
            return None;
        }
        self.promoted += 1;
        Some(UserPromoted { customer: order.customer.clone(), paid: *paid })
    }
}

/// One subscriber to several events, which it tells apart by their types.
#[subscribe(pattern = "user.*")]
async fn mail(event: &AnyEvent) -> Result<(), DecodeError> {
    if event.event::<UserRegistered>()?.is_some() {
        LEDGER.open().welcome_mails += 1;
    } else if event.event::<UserPromoted>()?.is_some() {
        LEDGER.open().thank_you_mails += 1;
    }
    Ok(())
}

pub(crate) fn report(report: &mut Report<'_>) {
    let users = LEDGER.open();
    report.subscriber(
        concat!(module_path!(), "::register"),
        [number("customers", users.known.len() as u64)],
    );
    report.subscriber(
        concat!(module_path!(), "::promote"),
        [number("promoted customers", users.promoted)],
    );
    report.subscriber(
        concat!(module_path!(), "::mail"),
        [
            number("welcome mails", users.welcome_mails),
            number("thank-you mails", users.thank_you_mails),
        ],
    );
}
