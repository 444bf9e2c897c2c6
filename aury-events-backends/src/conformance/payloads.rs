//! Data arrives as it was sent, or is refused aloud.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    failures::letters_of,
    process::{ORDER_CREATED, event},
    subject::Unsupported,
    subscriber::ack,
    trial::{Need, Trial},
    wait::DEADLINE,
};

pub(super) async fn text_of_every_kind_arrives_unchanged(trial: &Trial) -> Result<(), Unsupported> {
    let controls: String = (0..0x20).map(|code| char::from(code as u8)).collect();
    let texts: Vec<String> = [
        "",
        " ",
        "Grüße aus Zürich",
        "東京, Москва, القاهرة",
        "🚀👩‍👩‍👧",
        "e\u{301} is not é",
        "\"quoted\" \\ 'and' /slashed/ </script>",
        "\u{0}\u{7f}\u{80}\u{2028}\u{2029}\u{feff}\u{fffd}\u{10ffff}",
        "*1\r\n$4\r\nPING\r\n",
        &controls,
    ]
    .map(str::to_owned)
    .into();
    arrives_unchanged(trial, texts).await
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Extremes {
    bytes: Vec<u8>,
    signed: [i64; 3],
    unsigned: [u64; 2],
    floats: Vec<f64>,
    nothing: Option<u8>,
    nested: Vec<Vec<Option<bool>>>,
}

pub(super) async fn bytes_and_extreme_numbers_arrive_unchanged(
    trial: &Trial,
) -> Result<(), Unsupported> {
    let extremes = Extremes {
        bytes: (0..=255).collect(),
        signed: [i64::MIN, 0, i64::MAX],
        unsigned: [0, u64::MAX],
        floats: vec![0.0, -1.5, 1e300, f64::MIN_POSITIVE, f64::MAX, 99.25],
        nothing: None,
        nested: vec![vec![], vec![Some(true), None, Some(false)]],
    };
    arrives_unchanged(trial, extremes).await
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tick;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Empty {}

pub(super) async fn an_event_without_data_arrives(trial: &Trial) -> Result<(), Unsupported> {
    arrives_unchanged(trial, Tick).await?;
    arrives_unchanged(trial, Empty {}).await?;
    arrives_unchanged(trial, String::new()).await
}

async fn arrives_unchanged<T>(trial: &Trial, sent: T) -> Result<(), Unsupported>
where
    T: Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let (publishing, subscribing) = trial.two_processes().await;
    let mut subscriber = subscribing.subscribe("mail").await;
    publishing.publish_event(event(&ORDER_CREATED, sent.clone())).await;
    let delivery = subscriber.next().await;
    let received = delivery.payload().decode::<T>();
    assert_eq!(*received.unwrap_or_else(|error| panic!("{error:?}")), sent);
    ack(delivery).await;
    Ok(())
}

pub(super) async fn what_could_not_come_back_is_refused_to_its_publisher(
    trial: &Trial,
) -> Result<(), Unsupported> {
    trial.needs(Need::Remote)?;
    let process = trial.process("shop").await;
    let mut subscriber = process.subscribe("mail").await;
    for not_finite in [f64::NAN, f64::INFINITY] {
        let prices = BTreeMap::from([("euro".to_owned(), not_finite)]);
        let refused = process.try_publish(event(&ORDER_CREATED, prices)).await;
        let text = refused.expect_err("it would come back as null").to_string();
        assert!(text.contains("`euro`"), "{text} names the field");
    }
    let nested = (0..200).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    let refused = process.try_publish(event(&ORDER_CREATED, nested)).await;
    refused.expect_err("no subscriber could read it");
    process.publish(1).await;
    subscriber.expect(1).await;
    Ok(())
}

pub(super) async fn a_payload_near_the_limit_arrives_and_one_above_it_is_refused(
    trial: &Trial,
) -> Result<(), Unsupported> {
    const LIMIT: usize = 64 * 1024;
    trial.needs(Need::Remote)?;
    let mut connect = trial.connect("shop");
    connect.config.max_payload_bytes = LIMIT;
    let process = trial.process_as(connect).await;
    let mut subscriber = process.subscribe("mail").await;

    // Quotes and the envelope leave less than all of it to the text.
    let fits = "x".repeat(LIMIT - 2048);
    process.publish_event(event(&ORDER_CREATED, fits.clone())).await;
    let delivery = subscriber.next().await;
    assert!(*delivery.payload().decode::<String>().expect("it is a text") == fits);
    ack(delivery).await;

    let too_large = process.try_publish(event(&ORDER_CREATED, "x".repeat(LIMIT + 1))).await;
    let refused = too_large.expect_err("a payload above the limit is refused");
    assert!(!refused.is_closed(), "{refused:?}");
    process.publish(1).await;
    subscriber.expect(1).await;
    Ok(())
}

pub(super) async fn what_cannot_be_decoded_becomes_a_dead_letter_and_stops_nobody(
    trial: &Trial,
) -> Result<(), Unsupported> {
    const LIMIT: usize = 64 * 1024;
    let oversized = format!("\"{}\"", "x".repeat(LIMIT * 2));
    let garbage: [&[u8]; 6] =
        [b"", b"{", b"no JSON", b"[1,2,3]", b"\xff\xfe\x00", oversized.as_bytes()];
    let mut connect = trial.connect("shop");
    connect.config.max_payload_bytes = LIMIT;
    let process = trial.process_as(connect.clone()).await;
    let mut subscriber = process.subscribe("mail").await;
    for (number, bytes) in (0..).zip(garbage) {
        trial.publish_raw(&connect, &ORDER_CREATED, bytes).await?;
        process.publish(number).await;
        subscriber.expect(number).await;
    }
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while letters_of(&process).await.len() < garbage.len() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", letters_of(&process).await);
        tokio::task::yield_now().await;
    }
    process.settled().await;
    let letters = letters_of(&process).await;
    assert_eq!(letters.len(), garbage.len(), "{letters:?}");
    assert!(letters.iter().all(|letter| &*letter.subscriber == "mail"), "{letters:?}");
    assert!(letters.iter().all(|letter| !letter.reason.is_empty()), "{letters:?}");
    Ok(())
}
