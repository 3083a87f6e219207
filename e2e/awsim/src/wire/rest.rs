//! The REST wire of Route 53: method and path tell the action.

use http::Method;
use percent_encoding::percent_decode_str;

use super::query;
use super::tree::Tree;
use super::xml;

const VERSION: &str = "/2013-04-01/";

/// The action with its members.
///
/// # Errors
/// A text for paths that are no action, and for bodies that are not XML.
pub(crate) fn decode(method: &Method, path: &str, query: &str, body: &str) -> Result<(&'static str, Tree), String> {
    let rest = path.strip_prefix(VERSION).unwrap_or(path).trim_end_matches('/');
    let parts: Vec<String> =
        rest.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let fields = query::fields(query);
    let mut members = if body.trim().is_empty() { Tree::empty() } else { xml::parse(body)? };
    let mut set = |names: &[(&str, &str)]| {
        for (name, value) in names {
            members.insert(name, Tree::Text((*value).to_owned()));
        }
    };
    let given = |names: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        names
            .iter()
            .filter_map(|(member, field)| {
                let (_, value) = fields.iter().find(|(key, value)| key == field && !value.is_empty())?;
                Some((*member, value.clone()))
            })
            .collect()
    };
    let mut paged = |names: &[(&'static str, &str)]| {
        for (name, value) in given(names) {
            set(&[(name, value.as_str())]);
        }
    };
    let action = match (method.as_str(), parts.as_slice()) {
        ("GET", ["hostedzone"]) => {
            paged(&[
                ("Marker", "marker"),
                ("MaxItems", "maxitems"),
                ("DelegationSetId", "delegationsetid"),
                ("HostedZoneType", "hostedzonetype"),
            ]);
            "ListHostedZones"
        }
        ("GET", ["hostedzonesbyname"]) => {
            paged(&[("DNSName", "dnsname"), ("HostedZoneId", "hostedzoneid"), ("MaxItems", "maxitems")]);
            "ListHostedZonesByName"
        }
        ("POST", ["hostedzone"]) => "CreateHostedZone",
        ("GET", ["hostedzone", id]) => {
            set(&[("Id", id)]);
            "GetHostedZone"
        }
        ("DELETE", ["hostedzone", id]) => {
            set(&[("Id", id)]);
            "DeleteHostedZone"
        }
        ("GET", ["hostedzone", id, "rrset"]) => {
            paged(&[
                ("StartRecordName", "name"),
                ("StartRecordType", "type"),
                ("StartRecordIdentifier", "identifier"),
                ("MaxItems", "maxitems"),
            ]);
            set(&[("HostedZoneId", id)]);
            "ListResourceRecordSets"
        }
        ("POST", ["hostedzone", id, "rrset"]) => {
            set(&[("HostedZoneId", id)]);
            "ChangeResourceRecordSets"
        }
        ("GET", ["change", id]) => {
            set(&[("Id", id)]);
            "GetChange"
        }
        ("GET", ["hostedzonelimit", id, kind]) => {
            set(&[("HostedZoneId", id), ("Type", kind)]);
            "GetHostedZoneLimit"
        }
        ("GET", ["tags", kind, id]) => {
            set(&[("ResourceType", kind), ("ResourceId", id)]);
            "ListTagsForResource"
        }
        ("POST", ["tags", kind, id]) => {
            set(&[("ResourceType", kind), ("ResourceId", id)]);
            "ChangeTagsForResource"
        }
        _ => return Err(format!("{method} {path} is not an action of Route 53 that awsim models")),
    };
    Ok((action, members))
}
