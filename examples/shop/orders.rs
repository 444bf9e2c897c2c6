//! The life cycle of an order: created → paid → shipped, or created → cancelled.

use std::collections::BTreeMap;

use aury_events::{PublishError, prelude::*, publish};
use serde::{Deserialize, Serialize};

use crate::{
    ledger::Ledger,
    payments::{PaymentCaptured, PaymentDeclined},
    report::{Report, fact, number},
    values::{Date, Money},
};

/// Orders of this amount or more are looked at by a person.
const HIGH_VALUE: Money = Money::dollars(200);

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(name = "order.created")]
pub(crate) struct OrderCreated {
    #[event(key)]
    pub(crate) order_id: u64,
    pub(crate) customer: String,
    pub(crate) date: Date,
    pub(crate) cds: u32,
    pub(crate) amount: Money,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "order.paid")]
pub(crate) struct OrderPaid {
    #[event(key)]
    pub(crate) order_id: u64,
    pub(crate) customer: String,
    pub(crate) cds: u32,
    pub(crate) amount: Money,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "order.cancelled")]
pub(crate) struct OrderCancelled {
    #[event(key)]
    order_id: u64,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "order.shipped")]
pub(crate) struct OrderShipped {
    #[event(key)]
    pub(crate) order_id: u64,
}

static LEDGER: Ledger<Orders> = Ledger::new();

#[derive(Default)]
struct Orders {
    created: u64,
    cds: u64,
    revenue: Money,
    free: u64,
    days: Option<(Date, Date)>,
    high_value: u64,
    high_value_revenue: Money,
    paid: u64,
    cancelled: u64,
    /// How many events of each name the audit saw.
    audited: BTreeMap<String, u64>,
    longest_chain: u16,
}

#[subscribe]
async fn count(order: &OrderCreated) {
    let mut orders = LEDGER.open();
    orders.created += 1;
    orders.cds += u64::from(order.cds);
    orders.revenue += order.amount;
    orders.free += u64::from(order.amount == Money::ZERO);
    let (first, last) = orders.days.unwrap_or((order.date, order.date));
    orders.days = Some((first.min(order.date), last.max(order.date)));
}

#[subscribe(when = |order| order.amount >= HIGH_VALUE)]
async fn review(order: &OrderCreated) {
    let mut orders = LEDGER.open();
    orders.high_value += 1;
    orders.high_value_revenue += order.amount;
}

#[subscribe]
async fn confirm(payment: PaymentCaptured) -> Result<(), PublishError> {
    LEDGER.open().paid += 1;
    let PaymentCaptured { order_id, customer, cds, amount } = payment;
    publish(OrderPaid { order_id, customer, cds, amount }).await?;
    Ok(())
}

#[subscribe]
async fn cancel(payment: &PaymentDeclined) -> Result<(), PublishError> {
    LEDGER.open().cancelled += 1;
    publish(OrderCancelled { order_id: payment.order_id }).await?;
    Ok(())
}

/// Sees all that happens to orders, whatever it is.
#[subscribe(pattern = "order.*")]
async fn audit(event: &AnyEvent) {
    let mut orders = LEDGER.open();
    *orders.audited.entry(event.name().to_string()).or_default() += 1;
    orders.longest_chain = orders.longest_chain.max(event.metadata().hops() + 1);
}

pub(crate) fn report(report: &mut Report<'_>) {
    let orders = LEDGER.open();
    let day = |day: Option<Date>| day.map_or("none".to_owned(), |day| day.to_string());
    report.subscriber(
        concat!(module_path!(), "::count"),
        [
            number("orders", orders.created),
            number("CDs", orders.cds),
            fact("revenue", orders.revenue),
            number("zero-amount orders", orders.free),
            fact("first day", day(orders.days.map(|(first, _)| first))),
            fact("last day", day(orders.days.map(|(_, last)| last))),
        ],
    );
    report.subscriber(
        concat!(module_path!(), "::review"),
        [
            number("high-value orders", orders.high_value),
            fact("high-value revenue", orders.high_value_revenue),
        ],
    );
    report.subscriber(concat!(module_path!(), "::confirm"), [number("paid orders", orders.paid)]);
    report.subscriber(
        concat!(module_path!(), "::cancel"),
        [number("cancelled orders", orders.cancelled)],
    );
    let audited = orders.audited.iter().map(|(name, &events)| number(name, events));
    let chain = number("events in a chain", orders.longest_chain.into());
    report.subscriber(concat!(module_path!(), "::audit"), audited.chain([chain]));
}
