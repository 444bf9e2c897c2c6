//! The life cycle of a payment: captured or declined.

use aury_events::{PublishError, prelude::*, publish};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    orders::OrderCreated,
    report::{Report, fact, number},
    values::Money,
};

/// What a card is good for: payments above it are declined.
const CARD_LIMIT: Money = Money::dollars(400);

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "payment.captured")]
pub(crate) struct PaymentCaptured {
    #[event(key)]
    pub(crate) order_id: u64,
    pub(crate) customer: String,
    pub(crate) cds: u32,
    pub(crate) amount: Money,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "payment.declined")]
pub(crate) struct PaymentDeclined {
    #[event(key)]
    pub(crate) order_id: u64,
}

static LEDGER: Ledger<Payments> = Ledger::new();

#[derive(Default)]
struct Payments {
    captured: u64,
    captured_amount: Money,
    declined: u64,
    declined_amount: Money,
}

#[subscribe]
async fn charge(order: OrderCreated) -> Result<(), PublishError> {
    let OrderCreated { order_id, customer, cds, amount, .. } = order;
    if amount > CARD_LIMIT {
        LEDGER.open().decline(amount);
        publish(PaymentDeclined { order_id }).await?;
    } else {
        LEDGER.open().capture(amount);
        publish(PaymentCaptured { order_id, customer, cds, amount }).await?;
    }
    Ok(())
}

impl Payments {
    fn capture(&mut self, amount: Money) {
        self.captured += 1;
        self.captured_amount += amount;
    }

    fn decline(&mut self, amount: Money) {
        self.declined += 1;
        self.declined_amount += amount;
    }
}

pub(crate) fn report(report: &mut Report<'_>) {
    let payments = LEDGER.open();
    report.subscriber(
        concat!(module_path!(), "::charge"),
        [
            number("payments captured", payments.captured),
            fact("amount captured", payments.captured_amount),
            number("payments declined", payments.declined),
            fact("amount declined", payments.declined_amount),
        ],
    );
}
