//! The service that keeps what is set up to come at set times.

use std::sync::Arc;

use super::Timetable;
use crate::engine::{bindings::Bindings, runtime::Runtime, toolsets::Toolsets, voice::Voices, zones::Zones};

/// What is set up to come at set times.
pub(in crate::engine) struct Schedules {
    pub(super) runtime: Arc<Runtime>,
    pub(super) voices: Arc<Voices>,
    pub(super) bindings: Arc<Bindings>,
    pub(super) toolsets: Arc<Toolsets>,
    pub(super) zones: Arc<Zones>,
    pub(in crate::engine) timetable: Timetable,
}

impl Schedules {
    /// Makes it on what it may call.
    pub(in crate::engine) fn new(
        runtime: &Arc<Runtime>,
        voices: &Arc<Voices>,
        bindings: &Arc<Bindings>,
        toolsets: &Arc<Toolsets>,
        zones: &Arc<Zones>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            voices: voices.clone(),
            bindings: bindings.clone(),
            toolsets: toolsets.clone(),
            zones: zones.clone(),
            timetable: Timetable::default(),
        }
    }
}
