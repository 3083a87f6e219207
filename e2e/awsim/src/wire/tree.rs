//! Members of a request as a tree of texts, which both the Query wire and XML are, and serde's view of it.
//!
//! The target type decides what a text is: the wire has no numbers, booleans or empty lists of its own.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// A text, or named children in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Text(String),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// No members.
    pub(crate) const fn empty() -> Self {
        Self::Map(Vec::new())
    }

    /// Adds a member; a text loses what it said.
    pub(crate) fn insert(&mut self, key: &str, value: Self) {
        if let Self::Text(_) = self {
            *self = Self::empty();
        }
        if let Self::Map(members) = self {
            members.push((key.to_owned(), value));
        }
    }

    /// The member of this name, made if it is not there.
    pub(crate) fn child(&mut self, key: &str) -> &mut Self {
        if let Self::Text(_) = self {
            *self = Self::empty();
        }
        let Self::Map(members) = self else { unreachable!("a text became a map above") };
        let at = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            members.push((key.to_owned(), Self::Text(String::new())));
            members.len() - 1
        });
        &mut members[at].1
    }
}

struct Reader<'a>(&'a Tree);

/// Reads a value of any type from a tree.
pub(crate) fn reader(tree: &Tree) -> impl Deserializer<'_, Error = Error> {
    Reader(tree)
}

impl<'de> IntoDeserializer<'de, Error> for Reader<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Reader<'de> {
    fn text(&self) -> Result<&'de str, Error> {
        match self.0 {
            Tree::Text(text) => Ok(text),
            Tree::Map(_) => Err(de::Error::custom("a value was expected where there are members")),
        }
    }

    fn number<T: std::str::FromStr>(&self) -> Result<T, Error> {
        let text = self.text()?;
        text.trim().parse().map_err(|_| de::Error::custom(format!("'{text}' is not a number")))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Tree::Text(text) => visitor.visit_borrowed_str(text),
            Tree::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text()?.trim() {
            "true" | "True" | "1" => visitor.visit_bool(true),
            "false" | "False" | "0" => visitor.visit_bool(false),
            other => Err(de::Error::custom(format!("'{other}' is not true or false"))),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.number()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // An empty text is how both wires write an empty list.
        let items: Vec<Reader<'de>> = match self.0 {
            Tree::Text(text) if text.trim().is_empty() => Vec::new(),
            Tree::Text(text) => return Err(de::Error::custom(format!("a list was expected where '{text}' is"))),
            Tree::Map(members) => members.iter().map(|(_, item)| Reader(item)).collect(),
        };
        visitor.visit_seq(SeqDeserializer::new(items.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let members: &[(String, Tree)] = match self.0 {
            Tree::Map(members) => members,
            Tree::Text(text) if text.trim().is_empty() => &[],
            Tree::Text(text) => return Err(de::Error::custom(format!("members were expected where '{text}' is"))),
        };
        visitor.visit_map(MapDeserializer::new(members.iter().map(|(key, value)| (key.as_str(), Reader(value)))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use awsim_model::{Request, Service};

    #[test]
    fn types_come_from_the_target() {
        let mut tree = Tree::empty();
        tree.insert("ListenerArn", Tree::Text("arn".into()));
        tree.insert("Port", Tree::Text("80".into()));
        tree.insert("DefaultActions", Tree::Text(String::new()));
        let request = Request::decode(Service::Elbv2, "ModifyListener", reader(&tree)).unwrap().unwrap();
        let Request::ModifyListener(call) = request else { panic!("{request:?}") };
        assert_eq!((call.port, call.default_actions), (Some(80), Some(Vec::new())));
        tree.insert("Novelty", Tree::Text("x".into()));
        let error = Request::decode(Service::Elbv2, "ModifyListener", reader(&tree)).unwrap().unwrap_err();
        assert!(error.to_string().contains("Novelty"), "{error}");
    }
}
