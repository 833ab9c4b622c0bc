//! Reports of Alertmanager (webhook payload, version 4) and of Grafana, which sends the same fields and more.

use serde_json::{Value, json};

use super::{ITEMS_MAX, Report, is_nothing, said, shortened, title};

/// Reads a group of alerts. The group is the matter, so that "resolved" belongs to its "firing".
pub(super) fn of(report: &Value) -> Report {
    let alerts: &[Value] = report["alerts"].as_array().map_or(&[], Vec::as_slice);
    let firing = alerts.iter().filter(|alert| alert["status"] == "firing").count();
    let state = said(report, &["/status"]);
    let name = said(report, &["/commonLabels/alertname", "/groupLabels/alertname", "/alerts/0/labels/alertname"]);
    let summary = said(report, &["/commonAnnotations/summary", "/alerts/0/annotations/summary"]);
    let title = title(name, summary).or_else(|| said(report, &["/title"]));
    let mut made =
        Report { event: state.clone(), title, matter: said(report, &["/groupKey"]), state, ..Report::default() };
    let facts = &mut made.facts;
    facts.take("status", report, &["/status"]);
    facts.add("firing", json!(firing));
    facts.add("resolved", json!(alerts.len() - firing));
    facts.take("labels", report, &["/commonLabels"]);
    facts.take("annotations", report, &["/commonAnnotations"]);
    let each = alerts.iter().take(ITEMS_MAX).map(|alert| {
        let mut kept = serde_json::Map::new();
        for name in ["status", "labels", "annotations", "startsAt", "endsAt", "values", "generatorURL"] {
            if let Some(value) = alert.get(name).filter(|value| !is_nothing(value)) {
                kept.insert(name.to_owned(), shortened(value));
            }
        }
        Value::Object(kept)
    });
    facts.add("alerts", each.collect());
    facts.take("message", report, &["/message"]);
    facts.take("url", report, &["/externalURL"]);
    made
}
