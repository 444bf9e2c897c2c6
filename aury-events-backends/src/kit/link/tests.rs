use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use super::*;
use crate::kit::lock;

/// A server that answers attempts to connect as it is told to, and at last accepts them.
#[derive(Clone, Default)]
struct Server(Arc<ServerState>);

#[derive(Default)]
struct ServerState {
    answers: Mutex<VecDeque<Answer>>,
    attempts: AtomicUsize,
    current: Mutex<Option<Connection>>,
    /// How many connections are held by anybody.
    open: Arc<()>,
}

enum Answer {
    Away,
    No,
    /// Accepts, and ends the connection at once.
    EndsAtOnce,
    /// Accepts; who watches the connection panics.
    Panics,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    ended: Arc<Notify>,
    paused: watch::Sender<Option<&'static str>>,
    panics: Arc<AtomicBool>,
    /// Counts it.
    _open: Arc<()>,
}

impl Server {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let server = Self::default();
        lock(&server.0.answers).extend(answers);
        server
    }

    fn connection(&self) -> Connection {
        lock(&self.0.current).clone().unwrap()
    }

    fn attempts(&self) -> usize {
        self.0.attempts.load(SeqCst)
    }

    fn open(&self) -> usize {
        lock(&self.0.current).take();
        Arc::strong_count(&self.0.open) - 1
    }
}

impl Connector for Server {
    type Connection = Connection;

    fn server(&self) -> &str {
        "TestMQ"
    }

    fn address(&self) -> &str {
        "test://server"
    }

    fn purpose(&self) -> &str {
        "testing"
    }

    async fn open(&self) -> Result<Connection, AttemptError> {
        self.0.attempts.fetch_add(1, SeqCst);
        let connection = Connection { _open: Arc::clone(&self.0.open), ..Connection::default() };
        match lock(&self.0.answers).pop_front() {
            Some(Answer::Away) => return Err(AttemptError::transient("connection refused")),
            Some(Answer::No) => return Err(AttemptError::refused("wrong password")),
            Some(Answer::EndsAtOnce) => connection.ended.notify_one(),
            Some(Answer::Panics) => connection.panics.store(true, SeqCst),
            None => {}
        }
        *lock(&self.0.current) = Some(connection.clone());
        Ok(connection)
    }

    async fn until_lost(
        &self,
        connection: &Connection,
        pause: Pause<'_>,
    ) -> Box<dyn Error + Send + Sync> {
        assert!(!connection.panics.swap(false, SeqCst), "as it was told to");
        let mut paused = connection.paused.subscribe();
        paused.mark_changed();
        loop {
            select! {
                () = connection.ended.notified() => return "the peer has gone".into(),
                Ok(()) = paused.changed() => pause(*paused.borrow_and_update()),
            }
        }
    }

    fn cut(&self, connection: &Connection) {
        connection.ended.notify_one();
    }
}

const LIMIT: Duration = Duration::from_secs(10);

async fn until_up(link: &Link<Server>) {
    tokio::time::timeout(LIMIT, link.ready()).await.expect("it is up in time").unwrap();
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let until = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, until).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

async fn until_down(link: &Link<Server>) {
    until("it is down", || !link.is_up()).await;
}

async fn until_attempted(server: &Server, attempts: usize) {
    until("it was attempted", || server.attempts() == attempts).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_server_is_waited_for_and_one_that_refuses_is_not() {
    let late = Server::answering([Answer::Away, Answer::Away]);
    assert!(Link::connect(late.clone(), LIMIT).await.unwrap().is_up());
    assert_eq!(late.attempts(), 3);
    let start = Instant::now();
    let error = Link::connect(Server::answering([Answer::No]), LIMIT).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let text = WithCauses(&error).to_string();
    assert_eq!(text, "could not connect to TestMQ at test://server: wrong password");
    let away = Server::answering((0..1_000).map(|_| Answer::Away));
    let error = Link::connect(away.clone(), LIMIT).await.unwrap_err();
    assert!(error.is_timeout() && start.elapsed() < LIMIT * 2);
    let text = WithCauses(&error).to_string();
    let said = "could not connect to TestMQ at test://server within 10s: connection refused";
    assert_eq!(text, said);
    assert!(away.attempts() < 50, "{} attempts", away.attempts());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_is_made_again_whatever_the_server_says_meanwhile() {
    let server = Server::default();
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    lock(&server.0.answers).extend([Answer::Away, Answer::No, Answer::Away]);
    server.connection().ended.notify_one();
    until_down(&link).await;
    sleep(Duration::from_secs(1)).await;
    let problem = link.problem().unwrap();
    assert!(
        problem.starts_with("not connected to TestMQ for testing since")
            && problem.ends_with("wrong password"),
        "{problem}"
    );
    until_up(&link).await;
    assert_eq!((server.attempts(), link.problem()), (5, None));
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_at_once_are_not_made_in_a_tight_loop() {
    let server = Server::answering((0..10_000).map(|_| Answer::EndsAtOnce));
    let _link = Link::connect(server.clone(), LIMIT).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!((60..200).contains(&server.attempts()), "{} attempts", server.attempts());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_waited_for_and_its_reason_told() {
    let server = Server::default();
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    let connection = server.connection();
    connection.paused.send_replace(Some("low on disk"));
    until_down(&link).await;
    assert!(link.problem().unwrap().ends_with("low on disk"));
    link.abandon("no answer within 5s");
    let operation = || "publish order.created".to_owned();
    let run = link.run(operation, LIMIT, |_| async { Ok::<_, BackendError>(()) });
    let error = run.await.unwrap_err();
    assert!(error.is_not_connected() && WithCauses(&error).to_string().contains("low on disk"));
    connection.paused.send_replace(None);
    until_up(&link).await;
    assert_eq!(server.attempts(), 1, "it is the same connection");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_connection_is_replaced() {
    let server = Server::default();
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    link.abandon("no answer within 5s");
    until_attempted(&server, 2).await;
    until_up(&link).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_supervisor_is_survived() {
    let server = Server::answering([Answer::Panics]);
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    until_attempted(&server, 2).await;
    until_up(&link).await;
    sleep(Duration::from_secs(10)).await;
    assert!(link.is_up() && server.attempts() == 2);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_connection_and_every_wait_for_one() {
    let server = Server::default();
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    lock(&server.0.answers).extend((0..1_000).map(|_| Answer::Away));
    server.connection().ended.notify_one();
    until_down(&link).await;
    let waiting = tokio::spawn({
        let link = Arc::clone(&link);
        async move { link.ready().await.map(drop) }
    });
    tokio::task::yield_now().await;
    link.close().await;
    link.close().await;
    assert!(waiting.await.unwrap().unwrap_err().is_closed());
    assert!(link.ready().await.unwrap_err().is_closed() && !link.is_up());
    let attempts = server.attempts();
    sleep(LIMIT).await;
    assert_eq!(server.attempts(), attempts);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_dropped_ends_its_connection() {
    let server = Server::default();
    let link = Link::connect(server.clone(), LIMIT).await.unwrap();
    assert!(server.open() > 0);
    drop(link);
    while server.open() > 0 {
        tokio::task::yield_now().await;
    }
}
