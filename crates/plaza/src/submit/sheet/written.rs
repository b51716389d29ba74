//! A job sheet as it is written: every value with its place.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_path_to_error::{Deserializer as Tracked, Track};
use serde_saphyr::{Error, Location, Spanned};

use super::wrong::Wrong;

/// A value as its characters stand.
pub(super) type Text = Spanned<String>;

/// The whole sheet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) command: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(super) env: Named<String>,
    #[serde(default)]
    pub(super) inputs: Vec<Text>,
    #[serde(default)]
    pub(super) resources: WrittenResources,
    pub(super) time_limit: Option<Text>,
    pub(super) output_limit: Option<Text>,
    pub(super) max_price: Option<Text>,
    pub(super) budget: Option<Text>,
    pub(super) array: Option<Spanned<WrittenArray>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenResources {
    pub(super) cpus: Option<Text>,
    pub(super) memory: Option<Text>,
    pub(super) disk: Option<Text>,
    pub(super) gpus: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenArray {
    pub(super) sweep: Option<Spanned<Named<Values>>>,
    pub(super) points: Option<Spanned<Vec<Named<String>>>>,
    pub(super) count: Option<Text>,
    pub(super) deals: Option<Text>,
    pub(super) at_once: Option<Text>,
    pub(super) deal_time_limit: Option<Text>,
}

/// What a parameter can be.
#[derive(Debug)]
pub(super) enum Values {
    /// These.
    List(Vec<Text>),
    /// Numbers in a row.
    Range(Box<WrittenRange>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRange {
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) steps: Option<Text>,
    pub(super) step: Option<Text>,
}

/// Names with what stands behind them, in the order in which they are written.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(String, Spanned<T>)>);

/// Read the text of a sheet.
pub(super) fn read(text: &str) -> Result<Written, Wrong> {
    let mut path = String::new();
    let options = serde_saphyr::options! { with_snippet: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        let mut track = Track::new();
        let read = Written::deserialize(Tracked::new(yaml, &mut track));
        path = track.path().to_string();
        read
    });
    read.map_err(|error| {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        Wrong::new(&field(&path), at, sentence(&error, at))
    })
}

/// What the reader of YAML complains of, in our words where its own are about itself.
fn sentence(error: &Error, at: Location) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("'{key}' stands twice"),
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a sheet is one".to_owned()
        }
        Error::Unexpected { expected: "sequence start", .. } => {
            "expected a list, such as [a, b]".to_owned()
        }
        Error::Unexpected { expected: "mapping start", .. } => {
            "expected names with values, such as {a: 1}".to_owned()
        }
        Error::Unexpected { expected: "string scalar", .. } => "expected one value".to_owned(),
        error => {
            let place = format!(" at line {}, column {}", at.line(), at.column());
            error.to_string().trim_end_matches(place.as_str()).to_owned()
        }
    }
}

/// The dotted name of a field on the way to which reading ended.
fn field(path: &str) -> String {
    let steps = path.split('.').filter(|step| !["", "value", "?"].contains(step));
    let field = steps.collect::<Vec<_>>().join(".");
    if field.is_empty() { "the whole sheet".to_owned() } else { field }
}

impl Written {
    /// Where a field of the work stands, and how it is called in a sheet.
    pub(super) fn place(&self, field: &str) -> (&'static str, Location) {
        let of = |text: &Option<Text>| text.as_ref().map(|text| text.referenced);
        let array = self.array.as_ref();
        let points = array.and_then(|array| match (&array.value.sweep, &array.value.points) {
            (Some(sweep), _) => Some(sweep.referenced),
            (None, Some(points)) => Some(points.referenced),
            (None, None) => of(&array.value.count),
        });
        let (name, at) = match field {
            "time_limit" => ("time_limit", of(&self.time_limit)),
            "env" => ("env", self.env.0.first().map(|(_, value)| value.referenced)),
            "wish.resources.cpu" => ("resources.cpus", of(&self.resources.cpus)),
            "wish.resources.memory" => ("resources.memory", of(&self.resources.memory)),
            "array.deals" => ("array.deals", array.and_then(|array| of(&array.value.deals))),
            "array.at_once" => ("array.at_once", array.and_then(|array| of(&array.value.at_once))),
            _ if field.starts_with("array") => ("array", points),
            _ => ("command", Some(self.command.referenced)),
        };
        (name, at.unwrap_or(Location::UNKNOWN))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with values, such as {a: 1}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut named = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    named.push(entry);
                }
                Ok(Named(named))
            }
        }

        yaml.deserialize_map(Names(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(yaml: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values, {from, to, steps} or {from, to, step}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Values, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Values::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, range: A) -> Result<Values, A::Error> {
                let range = WrittenRange::deserialize(MapAccessDeserializer::new(range));
                range.map(Box::new).map(Values::Range)
            }
        }

        yaml.deserialize_any(Either)
    }
}
