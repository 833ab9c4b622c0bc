//! `budgets:`, the limits on the model's cost, and warnings about them.

use super::{
    Config,
    fault::{Faults, Trouble, shown},
    section::Section,
    value,
    yaml::Node,
};
use crate::core::budget::{Budgets, Limits, Usd};

/// The smallest and the largest budget.
pub(super) const BOUNDS: (Usd, Usd) = (Usd::from_micro(10_000), Usd::dollars(1_000_000));
/// The scopes that can have a budget.
const SCOPES: [&str; 4] = ["workspace", "assistant", "person", "room"];
/// The periods of a budget.
const SPANS: [&str; 2] = ["usd_month", "usd_day"];

pub(super) fn read(root: &Section<'_>, faults: &mut Faults) -> Budgets {
    let section = root.section("budgets", faults);
    let mut limits = |scope: &str| {
        let section = section.section(scope, faults);
        let [month, day] = SPANS.map(|span| section.get(span, faults, dollars));
        if let (Some(month), Some(day)) = (month, day)
            && day > month
        {
            let trouble = Trouble::new(
                format!("{day} is more than usd_month, {month}"),
                "The day's budget would never be reached.",
                "lower it, or raise usd_month.",
            );
            section.report("usd_day", trouble, faults);
        }
        Limits { month, day }
    };
    let [workspace, assistant, person, room] = SCOPES.map(&mut limits);
    Budgets { workspace, assistant, person, room }
}

/// Parses an amount of money in dollars.
pub(super) fn dollars(node: &Node) -> Result<Usd, Trouble> {
    let text = value::text(node)?;
    let mend = || {
        format!(
            "use dollars from 0.01 to {}, such as 20 or 0.50, without a currency sign.",
            BOUNDS.1.micro() / 1_000_000
        )
    };
    let amount = Usd::parse(&text).ok_or_else(|| {
        Trouble::new(format!("{} is not an amount of dollars", shown(&text)), "It limits what the model costs.", mend())
    })?;
    if amount == Usd::ZERO {
        let mend = "leave it out for no limit; a budget is at least 0.01, and `!mute` silences a coworker in a room.";
        return Err(Trouble::new("0 leaves nothing to spend".to_owned(), "Every request would be declined.", mend));
    }
    if !(BOUNDS.0..=BOUNDS.1).contains(&amount) {
        let why = "Beyond its bounds it would harm more than it helps.";
        return Err(Trouble::new(format!("{} is out of bounds", shown(&text)), why, mend()));
    }
    Ok(amount)
}

/// Warns of budgets that others make pointless.
pub(super) fn doubts(root: &Section<'_>, config: &Config, warnings: &mut Faults) {
    let budgets = &config.budgets;
    let section = root.again("budgets");
    let all = budgets.workspace;
    for (scope, limits) in [("assistant", budgets.assistant), ("person", budgets.person), ("room", budgets.room)] {
        for (span, limit, whole) in [("usd_month", limits.month, all.month), ("usd_day", limits.day, all.day)] {
            if let (Some(limit), Some(whole)) = (limit, whole)
                && limit > whole
            {
                let trouble = Trouble::new(
                    format!("{limit} is more than the workspace's, {whole}"),
                    "That one is reached first, and stops everybody.",
                    "lower it, or raise the one under `workspace`.",
                );
                section.again(scope).report(span, trouble, warnings);
            }
        }
    }
}
