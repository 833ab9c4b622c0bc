//! What a key of a config file is: its name, its kind, its default.

/// A key of a section.
pub(super) struct Key {
    /// The name as written; a secret also has the names with `_file` and `_env`.
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// Its default.
    pub(super) fallback: Fallback,
    /// What it is for.
    pub(super) about: &'static str,
}

/// The kind of a key's value.
pub(super) enum Kind {
    /// A section with these keys.
    Section(&'static [Key]),
    /// A section whose keys are names chosen by the operator.
    Named(&'static Kind),
    /// A list with at most this many items.
    List(&'static Kind, usize),
    /// Any of several kinds.
    Either(&'static [Kind]),
    /// An integer within two bounds.
    Number(u64, u64),
    /// Dollars within two bounds, in millionths.
    Dollars(u64, u64),
    /// `true` or `false`.
    Truth,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A text of this form.
    Text(&'static Form),
    /// Text that is passed on unchanged, including numbers.
    Word,
    /// A secret: as a value (unless refused), in a file, or in an environment variable.
    Secret {
        /// Whether it may be written in the config file itself.
        as_value: bool,
    },
}

/// A form of text.
pub(super) struct Form {
    /// The form's name with its article.
    pub(super) what: &'static str,
    /// A regular expression that every such text matches; empty if it would say no more than `what`.
    pub(super) pattern: &'static str,
    /// Most characters of it.
    pub(super) chars_max: Option<usize>,
}

/// Says in words where a key belongs that stands elsewhere.
pub(super) type Home = fn(&str) -> Option<String>;

/// The default of a key.
pub(super) enum Fallback {
    /// None: the key is required.
    Required,
    /// Nothing.
    Nothing,
    /// A number.
    Number(u64),
    /// A boolean.
    Truth(bool),
    /// A word or text.
    Word(&'static str),
    /// This description.
    Told(&'static str),
}

pub(super) const fn key(name: &'static str, kind: Kind, fallback: Fallback, about: &'static str) -> Key {
    Key { name, kind, fallback, about }
}

pub(super) const fn form(what: &'static str, pattern: &'static str) -> Form {
    Form { what, pattern, chars_max: None }
}

impl Key {
    /// Returns whether `name` is one of its names.
    pub(super) fn is(&self, name: &str) -> bool {
        let Some(form) = name.strip_prefix(self.name) else { return false };
        form.is_empty() || matches!(self.kind, Kind::Secret { .. }) && matches!(form, "_file" | "_env")
    }

    /// Returns all of its names.
    pub(super) fn names(&self) -> Vec<String> {
        match self.kind {
            Kind::Secret { .. } => ["", "_file", "_env"].map(|form| format!("{}{form}", self.name)).to_vec(),
            _ => vec![self.name.to_owned()],
        }
    }
}

impl Kind {
    /// Returns the kinds that it may be, or itself.
    pub(super) fn each(&self) -> &[Kind] {
        if let Self::Either(kinds) = self { kinds } else { std::slice::from_ref(self) }
    }

    /// Returns the bounds of a number.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        self.each()
            .iter()
            .find_map(|kind| if let Self::Number(least, most) = kind { Some((*least, *most)) } else { None })
    }

    /// Returns the words of a choice.
    pub(super) fn words(&self) -> Option<&'static [&'static str]> {
        self.each().iter().find_map(|kind| if let Self::Choice(words) = kind { Some(*words) } else { None })
    }
}
