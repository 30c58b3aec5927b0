//! The fields of a JSON file, each read as what it must be.

use serde_json::{Map, Value};

use crate::{
    error::{Error, shown},
    folder::Folder,
};

/// Longest configuration file that is parsed, in bytes.
const MAX_TEXT: u64 = 4 << 20;

/// A JSON file whose top is an object. A field that is `null` is not there.
pub(crate) struct Config {
    /// The file's name, for messages.
    pub file: String,
    fields: Map<String, Value>,
}

impl Config {
    /// Reads the file `name` of a folder; `None` where there is none.
    ///
    /// # Errors
    /// As [`Folder::read`]; [`Error::File`] where it is not JSON.
    pub fn read(folder: &Folder, name: &str) -> Result<Option<Self>, Error> {
        let Some(bytes) = folder.read(name, MAX_TEXT)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Some(Config { file: name.to_owned(), fields })),
            Ok(_) => Err(Error::file(name, "is JSON, but no object of fields")),
            Err(e) => Err(Error::file(name, format!("is not JSON: {e}"))),
        }
    }

    /// An object within this one, with the fields' own file.
    pub fn inner(&self, field: &str) -> Result<Option<Config>, Error> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => {
                Ok(Some(Config { file: format!("{}: {field}", self.file), fields: fields.clone() }))
            }
            Some(other) => Err(self.refuse(field, format!("is {}; an object is", said(other)))),
        }
    }

    /// A field's value, if it has one.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|v| !v.is_null())
    }

    /// An error about one field.
    pub fn refuse(&self, field: &str, why: impl Into<String>) -> Error {
        Error::Field { file: self.file.clone(), field: field.to_owned(), why: why.into() }
    }

    /// The error for a value that is not what is accepted.
    pub fn other(&self, field: &str, accepted: &str) -> Error {
        match self.value(field) {
            None => self.refuse(field, format!("is missing; accepted: {accepted}")),
            Some(v) => self.refuse(field, format!("= {}; accepted: {accepted}", said(v))),
        }
    }

    /// A number of things.
    pub fn size(&self, field: &str) -> Result<usize, Error> {
        let n = self.value(field).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        // What a number of things may be is the description's to say; sums of them must not overflow before.
        n.filter(|&n| n <= 1 << 40).ok_or_else(|| self.other(field, "a whole number"))
    }

    pub fn size_or(&self, field: &str, default: usize) -> Result<usize, Error> {
        if self.value(field).is_none() { Ok(default) } else { self.size(field) }
    }

    /// The side of a square: a number, or two equal ones.
    pub fn side(&self, field: &str) -> Result<usize, Error> {
        let Some(Value::Array(sides)) = self.value(field) else { return self.size(field) };
        let n = sides.first().and_then(Value::as_u64).filter(|&n| n <= 1 << 20);
        match n {
            Some(n) if sides.len() == 2 && sides[1].as_u64() == Some(n) => Ok(n as usize),
            _ => Err(self.other(field, "the side of a square")),
        }
    }

    pub fn number_or(&self, field: &str, default: f64) -> Result<f64, Error> {
        match self.value(field) {
            None => Ok(default),
            Some(v) => v.as_f64().ok_or_else(|| self.other(field, "a number")),
        }
    }

    pub fn flag_or(&self, field: &str, default: bool) -> Result<bool, Error> {
        match self.value(field) {
            None => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| self.other(field, "true or false")),
        }
    }

    pub fn text(&self, field: &str) -> Result<Option<&str>, Error> {
        match self.value(field) {
            None => Ok(None),
            Some(v) => v.as_str().map(Some).ok_or_else(|| self.other(field, "a text")),
        }
    }

    /// Three numbers, one for each colour plane.
    pub fn planes(&self, field: &str) -> Result<[f64; 3], Error> {
        let list = self.value(field).and_then(Value::as_array);
        let numbers = list.map(|l| l.iter().map_while(Value::as_f64).collect::<Vec<_>>());
        numbers.and_then(|n| n.try_into().ok()).ok_or_else(|| self.other(field, "three numbers"))
    }

    /// Refuses fields other than `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.fields.keys().find(|field| !known.contains(&&field[..])) {
            None => Ok(()),
            Some(field) => Err(self.other(field, &format!("the fields {}", known.join(", ")))),
        }
    }

    /// Refuses a flag that asks for what we do not have.
    pub fn must_be(&self, field: &str, accepted: bool) -> Result<(), Error> {
        if self.flag_or(field, accepted)? == accepted {
            return Ok(());
        }
        Err(self.other(field, if accepted { "true" } else { "false" }))
    }
}

/// A value for a message, cut.
fn said(value: &Value) -> String {
    match value {
        Value::String(s) => format!("\"{}\"", shown(s)),
        other => shown(&other.to_string()),
    }
}
