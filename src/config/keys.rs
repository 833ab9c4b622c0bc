//! Every key of `workmate.yaml` and of a coworker's file: what it takes, its default, and what it is for.
//!
//! The loader reads nothing that is not here ([`super::section::Section`] looks bounds, words and defaults up), the JSON
//! schemas and `docs/configuration.md` are made of it, and a test fails where a key is here that nobody reads.

mod claude;
mod coworker;
mod schema;
mod sections;

pub(super) use self::{coworker::COWORKER, schema::schema, sections::WORKMATE};

/// A key of a section.
pub(super) struct Key {
    /// As it is written. A secret has two names more, with `_file` and `_env`.
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// What counts where it is left out.
    pub(super) fallback: Fallback,
    /// What it is for.
    pub(super) about: &'static str,
}

/// What a key takes.
pub(super) enum Kind {
    /// Keys of its own.
    Section(&'static [Key]),
    /// A section whose keys are names that the operator chooses.
    Named(&'static Kind),
    /// A list, and how many items it has at most.
    List(&'static Kind, usize),
    /// One of several kinds.
    Either(&'static [Kind]),
    /// A whole number between two bounds.
    Number(u64, u64),
    /// Dollars between two bounds, in millionths.
    Dollars(u64, u64),
    /// `true` or `false`.
    Truth,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Text of a form.
    Text(&'static Form),
    /// A secret: as a value (unless that is refused), in a file, or in a variable of the environment.
    Secret {
        /// Whether it may stand in the config file itself.
        as_value: bool,
    },
}

/// A form of text.
pub(super) struct Form {
    /// What it is, with its article.
    pub(super) what: &'static str,
    /// A regular expression that every such text meets; empty where none says more than `what`.
    pub(super) pattern: &'static str,
    /// The most characters of it.
    pub(super) chars_max: Option<usize>,
}

/// What counts where a key is left out.
pub(super) enum Fallback {
    /// It must be there.
    Required,
    /// Nothing.
    Nothing,
    /// A number.
    Number(u64),
    /// A truth.
    Truth(bool),
    /// A word or text.
    Word(&'static str),
    /// What these words say.
    Told(&'static str),
}

const fn key(name: &'static str, kind: Kind, fallback: Fallback, about: &'static str) -> Key {
    Key { name, kind, fallback, about }
}

const fn form(what: &'static str, pattern: &'static str) -> Form {
    Form { what, pattern, chars_max: None }
}

static URL: Form = form("a URL", "^https?://");
static ADDRESS: Form = form("an IP address and port", ":[0-9]+$");
static PATH: Form = form("a path", "");
static SERVER_NAME: Form = form("a server name", "^[^/]+$");
static USER_ID: Form = form("a full user id", "^@[^:]*:.+$");
static ROOM: Form = form("a room's id or alias", "^[!#].+$");
static MODEL: Form = Form { what: "a model's id", pattern: "^[!-~]+$", chars_max: Some(128) };
/// What is handed on as it stands: numbers are text too.
static WORD: Form = form("text", "");

/// A secret's value, under a name of its own.
static VALUE: [Key; 1] =
    [key("value", Kind::Secret { as_value: true }, Fallback::Required, "The value, in one of the three forms.")];

impl Key {
    /// Returns whether it is written so.
    pub(super) fn is(&self, name: &str) -> bool {
        let Some(form) = name.strip_prefix(self.name) else { return false };
        form.is_empty() || matches!(self.kind, Kind::Secret { .. }) && matches!(form, "_file" | "_env")
    }

    /// Returns every name that it is written with.
    pub(super) fn names(&self) -> Vec<String> {
        match self.kind {
            Kind::Secret { .. } => ["", "_file", "_env"].map(|form| format!("{}{form}", self.name)).to_vec(),
            _ => vec![self.name.to_owned()],
        }
    }
}

impl Kind {
    /// Returns itself, or the kinds that it may be.
    pub(super) fn each(&self) -> &[Kind] {
        if let Self::Either(kinds) = self { kinds } else { std::slice::from_ref(self) }
    }

    /// Returns the bounds of a number.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        self.each()
            .iter()
            .find_map(|kind| if let Self::Number(least, most) = kind { Some((*least, *most)) } else { None })
    }

    /// Returns the words to choose from.
    pub(super) fn words(&self) -> Option<&'static [&'static str]> {
        self.each().iter().find_map(|kind| if let Self::Choice(words) = kind { Some(*words) } else { None })
    }
}
