//! Charts, drawn by the server: they need no script, and the table below each has the same figures.
//!
//! Colours come from classes, because the policy of the pages allows no style in them.

use maud::{Markup, html};

use crate::core::words::trail as words;

/// Most bars of a chart; of more days the last ones are drawn.
const BARS_MAX: usize = 120;
/// Most rows of a chart of names; the table has all of them.
const ROWS_MAX: usize = 12;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Space for the labels below the bars.
const FOOT: f64 = 22.0;
/// Space for the amounts above them.
const HEAD: f64 = 18.0;

/// A bar: its label, and its amount in millionths of a US dollar.
pub(super) type Bar = (String, u64);

/// Draws amounts over days, oldest first.
pub(super) fn days(title: &str, bars: &[Bar]) -> Markup {
    let bars = &bars[bars.len().saturating_sub(BARS_MAX)..];
    let most = bars.iter().map(|(_, amount)| *amount).max().unwrap_or_default();
    if most == 0 {
        return html! {};
    }
    let step = WIDTH / precise(bars.len().max(7));
    let room = HEIGHT - FOOT - HEAD;
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(summary(title, bars)) {
                line.axis x1="0" x2=(WIDTH) y1=(HEIGHT - FOOT) y2=(HEIGHT - FOOT) {}
                text.label x="0" y="12" { (words::cost(most)) }
                line.most x1="0" x2=(WIDTH) y1=(HEAD) y2=(HEAD) {}
                @for (at, (label, amount)) in bars.iter().enumerate() {
                    @let tall = room * share(*amount, most);
                    rect.bar x=(number(step * precise(at) + step * 0.1)) y=(number(HEIGHT - FOOT - tall))
                        width=(number(step * 0.8)) height=(number(tall)) rx="1" {
                        title { (label) ": " (words::cost(*amount)) }
                    }
                }
                @if let (Some(first), Some(last)) = (bars.first(), bars.last()) {
                    text.label x="0" y=(HEIGHT - 6.0) { (first.0) }
                    @if bars.len() > 1 {
                        text.label.end x=(number(step * precise(bars.len()))) y=(HEIGHT - 6.0) { (last.0) }
                    }
                }
            }
        }
    }
}

/// Draws the largest amounts by name.
pub(super) fn names(title: &str, bars: &[Bar]) -> Markup {
    let shown = &bars[..bars.len().min(ROWS_MAX)];
    let most = shown.iter().map(|(_, amount)| *amount).max().unwrap_or_default();
    if most == 0 {
        return html! {};
    }
    let tall = 24.0 * precise(shown.len());
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {tall}")) role="img" aria-label=(summary(title, shown)) {
                @for (at, (label, amount)) in shown.iter().enumerate() {
                    @let top = 24.0 * precise(at);
                    text.label x="0" y=(number(top + 16.0)) { (short(label)) }
                    rect.bar x="250" y=(number(top + 5.0)) width=(number((380.0 * share(*amount, most)).max(1.0))) height="14" rx="2" {
                        title { (label) ": " (words::cost(*amount)) }
                    }
                    text.label x=(number(258.0 + 380.0 * share(*amount, most))) y=(number(top + 16.0)) { (words::cost(*amount)) }
                }
            }
        }
    }
}

/// Says the chart's gist, for whoever does not see it.
fn summary(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().max_by_key(|(_, amount)| *amount);
    let all = bars.iter().fold(0_u64, |sum, (_, amount)| sum.saturating_add(*amount));
    let most = most.map(|(label, amount)| format!(", the most {} for {label}", words::cost(*amount)));
    format!("{title}: {} in all{}. The table has every figure.", words::cost(all), most.unwrap_or_default())
}

/// Returns a name in the space that a chart has for it.
fn short(name: &str) -> String {
    const CHARS: usize = 32;
    if name.chars().count() <= CHARS {
        return name.to_owned();
    }
    name.chars().take(CHARS - 1).chain(['…']).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a drawing is to the tenth of a point")]
fn share(amount: u64, most: u64) -> f64 {
    amount as f64 / most as f64
}

#[expect(clippy::cast_precision_loss, reason = "a drawing is to the tenth of a point")]
fn precise(count: usize) -> f64 {
    count as f64
}

fn number(at: f64) -> String {
    format!("{at:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_charts_are_drawings_with_their_gist_in_words_and_no_style_or_script() {
        let bars: Vec<Bar> = (1..=200).map(|day| (format!("2026-{day}"), day * 10_000)).collect();
        let drawn = days("Cost by day", &bars).into_string();
        assert_eq!(drawn.matches("<rect").count(), BARS_MAX);
        assert!(drawn.contains("role=\"img\"") && drawn.contains("the most $2.00 for 2026-200"), "{drawn}");
        let hostile = [("<script>\"'&".repeat(9), 5_000_000), ("b".to_owned(), 1)];
        let drawn = names("Cost by room", &hostile).into_string();
        assert!(!drawn.contains("<script") && !drawn.contains("style="), "{drawn}");
        assert_eq!((days("x", &[]).into_string(), names("x", &[("a".into(), 0)]).into_string()), Default::default());
    }
}
