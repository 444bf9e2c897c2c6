use aury_events::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Event)]
struct OrderCreated;

#[subscribe(pattern = "order*")]
async fn a(_event: &AnyEvent) {}

#[subscribe(pattern = "order.##")]
async fn b(_event: &AnyEvent) {}

#[subscribe(pattern = "order..created")]
async fn c(_event: &AnyEvent) {}

#[subscribe(pattern = "order/*")]
async fn d(_event: &AnyEvent) {}

#[subscribe(pattern = order.*)]
async fn e(_event: &AnyEvent) {}

fn main() {}
