//! `PUT /transactions/{txnId}`: read within limits, parse leniently, store, then acknowledge.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use serde_json::{Value, json};

use self::parse::{Parsed, TransactionFault};
use super::{
    Shared,
    body::{self, Unread},
    health::{self, Condition},
    refusal::Refusal,
};
use crate::{
    clock,
    store::{Accepted, StoreError},
};

mod parse;

/// How long a body may take to arrive, in seconds.
const BODY_WAIT_S: u64 = 60;
/// Most bytes of a transaction id.
const TXN_ID_BYTES_MAX: usize = 255;

/// Parses a transaction's body into its good events and the number of others; for `fuzzing`.
#[cfg(feature = "doubles")]
pub(crate) fn taken_apart(body: &[u8]) -> Option<(Vec<crate::store::InboxEvent>, usize)> {
    let parsed = parse::transaction(body).ok()?;
    Some((parsed.events, parsed.skipped.len()))
}

/// Stores a transaction's events; 200 means that they are durable.
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    txn_id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let txn_id = txn_id.map(|Path(txn_id)| txn_id).ok().filter(|txn_id| txn_id.len() <= TXN_ID_BYTES_MAX);
    let Some(txn_id) = txn_id else {
        let error = format!("a transaction id is text of at most {TXN_ID_BYTES_MAX} bytes");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "M_INVALID_PARAM", error));
    };
    let _permit = shared.transactions.acquire().await.expect("the semaphore is never closed");

    let result = read_and_store(&shared, &txn_id, body).await;
    if let Err(refusal) = &result {
        // A store failure was logged already, in more detail.
        if refusal.status != StatusCode::INTERNAL_SERVER_ERROR {
            let reason = &refusal.error;
            tracing::warn!(txn.id = txn_id, "a transaction was refused with {}: {reason}", refusal.errcode);
        }
    }
    result.map(|()| Json(json!({})))
}

async fn read_and_store(shared: &Shared, txn_id: &str, body: Body) -> Result<(), Refusal> {
    let bytes_max = shared.appservice.body_bytes_max;
    let reading = body::read(body, bytes_max, Duration::from_secs(BODY_WAIT_S));
    let bytes = reading.await.map_err(|why| not_read(why, bytes_max))?;
    let parsing = tokio::task::spawn_blocking(move || parse::transaction(&bytes));
    let Parsed { events, skipped } = parsing.await.expect("parsing does not panic").map_err(Refusal::from)?;
    for event in skipped {
        let event_type = event.event_type.as_deref().unwrap_or("unknown");
        let (index, reason) = (event.index, event.reason);
        tracing::warn!(
            txn.id = txn_id,
            event.index = index,
            event.type = event_type,
            "an event of a transaction was skipped: {reason}"
        );
    }
    let accepted = shared.appservice.inbox.accept(txn_id, events, clock::now()).await;
    let Accepted { new, duplicate_transaction } = accepted.map_err(|error| {
        shared
            .appservice
            .health
            .set(Condition::Store, health::State::Waiting("the last write failed; the log says why".to_owned()));
        store_failed(txn_id, &error)
    })?;
    shared.appservice.health.set(Condition::Store, health::State::Ready);
    shared.appservice.arrivals.hear_transaction();
    if duplicate_transaction && new > 0 {
        // Synapse counts from 1 again at each start with nothing left to send.
        tracing::info!(
            txn.id = txn_id,
            events.new = new,
            "the homeserver counts its transactions anew; events are known by their own ids, so nothing is lost"
        );
    } else {
        tracing::debug!(txn.id = txn_id, events.new = new, duplicate_transaction, "a transaction was accepted");
    }
    Ok(())
}

fn not_read(why: Unread, bytes_max: usize) -> Refusal {
    match why {
        Unread::TooLong => {
            too_large(format!("a transaction may have {bytes_max} bytes at most (limits.transaction_bytes_max)"))
        }
        Unread::BrokeOff => Refusal::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", "the body broke off"),
        Unread::TooLate => {
            let error = format!("the body did not arrive within {BODY_WAIT_S} s");
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", error)
        }
    }
}

fn too_large(error: String) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", error)
}

/// Answers 500, so that the homeserver keeps the transaction and resends it.
fn store_failed(txn_id: &str, error: &StoreError) -> Refusal {
    tracing::error!(txn.id = txn_id, %error, "a transaction could not be stored; the homeserver will send it again");
    let told = match error {
        StoreError::Full { .. } => "the appservice's disk is full; send it again later",
        _ => "the appservice could not store it; send it again later",
    };
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", told)
}

impl From<TransactionFault> for Refusal {
    fn from(fault: TransactionFault) -> Self {
        let error = fault.to_string();
        match fault {
            TransactionFault::NotJson => Self::new(StatusCode::BAD_REQUEST, "M_NOT_JSON", error),
            TransactionFault::NoEvents => Self::new(StatusCode::BAD_REQUEST, "M_BAD_JSON", error),
            TransactionFault::TooManyEvents => too_large(error),
        }
    }
}
