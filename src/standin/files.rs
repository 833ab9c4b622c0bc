//! Files and containers, as the provider keeps them for code execution.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{page, problem::Problem, prompt::array, turn::Failure};
use crate::{clock, core::time::Timestamp};

/// How long a container lives: 30 days.
const CONTAINER_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// The bounds of `expires_in_seconds`.
const EXPIRY_SECONDS: std::ops::RangeInclusive<u64> = 3_600..=7_776_000;
/// Skills of one container, at most.
const SKILLS_MAX: usize = 8;
/// The provider's own skills.
const SKILLS: &[&str] = &["docx", "pdf", "pptx", "xlsx"];

/// A file.
#[derive(Clone, Debug)]
pub struct StoredFile {
    /// `file_…`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether code made it; only such a file can be read.
    pub made: bool,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl StoredFile {
    fn info(&self) -> Value {
        let at = |at: Timestamp| jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or_default().to_string();
        json!({
            "id": self.id, "type": "file", "filename": self.name, "mime_type": "application/octet-stream",
            "size_bytes": self.bytes.len(), "created_at": at(self.created_at), "downloadable": self.made,
            "expires_at": self.expires_at.map(at),
        })
    }
}

/// All files and containers.
#[derive(Debug, Default)]
pub(super) struct Files {
    kept: BTreeMap<String, StoredFile>,
    /// The containers with the moments of their ends.
    containers: BTreeMap<String, Timestamp>,
    failures: VecDeque<Failure>,
}

impl Files {
    pub(super) fn add(&mut self, id: String, name: &str, bytes: Vec<u8>, expires: Option<u64>) -> Value {
        let now = clock::now();
        let expires_at = expires.map(|seconds| now.later(seconds * 1000));
        let file = StoredFile {
            id: id.clone(),
            name: name.to_owned(),
            bytes,
            made: expires.is_none(),
            created_at: now,
            expires_at,
        };
        let info = file.info();
        self.kept.insert(id, file);
        info
    }

    pub(super) fn all(&self) -> Vec<StoredFile> {
        self.kept.values().cloned().collect()
    }

    /// Returns the files that a request puts into its container, in order.
    pub(super) fn uploads_of(&self, body: &Value) -> Vec<StoredFile> {
        let blocks = array(&body["messages"]).iter().flat_map(|message| array(&message["content"]));
        let ids =
            blocks.filter(|block| block["type"] == "container_upload").filter_map(|block| block["file_id"].as_str());
        ids.filter_map(|id| self.kept.get(id).cloned()).collect()
    }

    pub(super) fn fail_next(&mut self, failure: Failure) {
        self.failures.push_back(failure);
    }

    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failures.pop_front()
    }

    pub(super) fn look(&self, id: &str) -> Result<Value, Problem> {
        self.find(id).map(StoredFile::info)
    }

    pub(super) fn content(&self, id: &str) -> Result<Vec<u8>, Problem> {
        let file = self.find(id)?;
        if !file.made {
            return Err(Problem::invalid(format!("File {id} is not downloadable: it was uploaded")));
        }
        Ok(file.bytes.clone())
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<Value, Problem> {
        self.find(id)?;
        self.kept.remove(id);
        Ok(json!({ "id": id, "type": "file_deleted" }))
    }

    pub(super) fn page(&self, query: &BTreeMap<String, String>) -> Result<Value, Problem> {
        let limit = page::limit(query)?;
        Ok(page::page(self.kept.values().map(StoredFile::info), limit))
    }

    fn find(&self, id: &str) -> Result<&StoredFile, Problem> {
        let lives = |file: &&StoredFile| file.expires_at.is_none_or(|at| clock::now() < at);
        self.kept.get(id).filter(lives).ok_or_else(|| Problem::new(404, format!("File not found: {id}")))
    }

    pub(super) fn expire_containers(&mut self) {
        self.containers.clear();
    }

    /// Checks what a request says of containers and files.
    pub(super) fn check(&self, body: &Value) -> Result<(), Problem> {
        let computes = array(&body["tools"]).iter().any(is_code_execution);
        match &body["container"] {
            Value::Null => {}
            Value::String(id) => self.check_container(id)?,
            Value::Object(container) => {
                super::validate::only(container, "container", &["id", "skills"])?;
                match container.get("id") {
                    None | Some(Value::Null) => {}
                    Some(Value::String(id)) => self.check_container(id)?,
                    Some(_) => return Err(Problem::invalid("container.id: Input should be a valid string")),
                }
                check_skills(&body["container"]["skills"], computes)?;
            }
            _ => return Err(Problem::invalid("container: Input should be a valid string or object")),
        }
        if !body["container"].is_null() && !computes {
            return Err(Problem::invalid("container: requires the code execution tool"));
        }
        for (index, message) in array(&body["messages"]).iter().enumerate() {
            let uploads = array(&message["content"]).iter().filter(|block| block["type"] == "container_upload");
            for block in uploads {
                let path = format!("messages.{index}.content.container_upload");
                if let Some(block) = block.as_object() {
                    super::validate::only(block, &path, &["type", "file_id", "cache_control"])?;
                }
                let Some(id) = block["file_id"].as_str() else {
                    return Err(Problem::missing(&format!("{path}.file_id")));
                };
                if !computes {
                    return Err(Problem::invalid(format!("{path}: requires the code execution tool")));
                }
                self.find(id)?;
            }
        }
        Ok(())
    }

    fn check_container(&self, id: &str) -> Result<(), Problem> {
        let lives = self.containers.get(id).is_some_and(|ends| clock::now() < *ends);
        if lives { Ok(()) } else { Err(Problem::invalid(format!("container: `{id}` was not found or has expired"))) }
    }

    /// Returns the container of an answer: the request's, or a new one if the answer computes.
    pub(super) fn container(&mut self, body: &Value, content: &[Value], new_id: impl FnOnce() -> String) -> Value {
        let asked = body["container"].as_str().or_else(|| body["container"]["id"].as_str());
        let uploads = array(&body["messages"]).iter().flat_map(|message| array(&message["content"]));
        let is_filled = uploads.into_iter().any(|block| block["type"] == "container_upload");
        let computed = content.iter().any(|block| {
            block["type"].as_str().is_some_and(|kind| kind.ends_with("code_execution_tool_result"))
                || block["name"].as_str().is_some_and(|name| name.ends_with("code_execution"))
        });
        if asked.is_none() && !is_filled && !computed {
            return Value::Null;
        }
        let id = asked.map_or_else(new_id, ToOwned::to_owned);
        let ends = *self.containers.entry(id.clone()).or_insert_with(|| clock::now().later(CONTAINER_MS));
        let expires_at = jiff::Timestamp::from_millisecond(ends.as_ms()).unwrap_or_default().to_string();
        let skills = array(&body["container"]["skills"]);
        let loaded =
            |skill: &Value| json!({ "type": skill["type"], "skill_id": skill["skill_id"], "version": "20261001" });
        let skills: Vec<Value> = skills.iter().map(loaded).collect();
        json!({ "id": id, "expires_at": expires_at, "skills": if skills.is_empty() { Value::Null } else { skills.into() } })
    }
}

fn is_code_execution(tool: &Value) -> bool {
    tool["type"].as_str().is_some_and(|kind| kind.starts_with("code_execution_"))
}

fn check_skills(skills: &Value, computes: bool) -> Result<(), Problem> {
    let skills = array(skills);
    if skills.len() > SKILLS_MAX {
        return Err(Problem::invalid(format!("container.skills: List should have at most {SKILLS_MAX} items")));
    }
    if !skills.is_empty() && !computes {
        return Err(Problem::invalid("container.skills: requires the code execution tool"));
    }
    for (index, skill) in skills.iter().enumerate() {
        let path = format!("container.skills.{index}");
        let Some(fields) = skill.as_object() else {
            return Err(Problem::invalid(format!("{path}: Input should be an object")));
        };
        super::validate::only(fields, &path, &["type", "skill_id", "version"])?;
        let is_known = skill["skill_id"].as_str().is_some_and(|id| SKILLS.contains(&id));
        if skill["type"] != "anthropic" || !is_known {
            return Err(Problem::invalid(format!("{path}: skill {} was not found", skill["skill_id"])));
        }
    }
    Ok(())
}

/// An upload, as its form says it.
pub(super) struct Form {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) expires: Option<u64>,
}

/// Reads a form (RFC 7578).
pub(super) fn form(content_type: &str, body: &[u8]) -> Result<Form, Problem> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
    let boundary = boundary.ok_or_else(|| Problem::invalid("content-type: `multipart/form-data` is required"))?;
    let (mut file, mut expires) = (None, None);
    for part in parts(body, format!("--{boundary}").as_bytes()) {
        let Some(end) = find(part, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&part[..end]).into_owned();
        let content = part[end + 4..].strip_suffix(b"\r\n").unwrap_or(&part[end + 4..]);
        match field(&head, "name").as_deref() {
            Some("file") => file = Some((field(&head, "filename").unwrap_or_default(), content.to_vec())),
            Some("expires_in_seconds") => {
                let seconds = String::from_utf8_lossy(content).parse::<u64>().ok();
                let seconds = seconds.filter(|seconds| EXPIRY_SECONDS.contains(seconds));
                expires =
                    Some(seconds.ok_or_else(|| {
                        Problem::invalid("expires_in_seconds: Input should be between 3600 and 7776000")
                    })?);
            }
            _ => return Err(Problem::extra("form")),
        }
    }
    let (name, bytes) = file.ok_or_else(|| Problem::missing("file"))?;
    if bytes.is_empty() {
        return Err(Problem::invalid("file: File is empty"));
    }
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Form { name: if name.is_empty() { "unnamed".to_owned() } else { name }, bytes, expires })
}

fn parts<'a>(body: &'a [u8], line: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(begin) = find(rest, line) {
        rest = &rest[begin + line.len()..];
        let end = find(rest, line).unwrap_or(0);
        if end > 0 {
            parts.push(&rest[..end]);
        }
    }
    parts
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn field(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!("; {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}
