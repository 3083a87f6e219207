//! Hostile text in every string of a table is refused, or stands in nginx.conf where the harmless text stood, and
//! nowhere else.
//!
//! The proof does not look into the renderer. It walks the table's JSON, puts hostile text into one string at a time
//! (so a field that is added later is covered as soon as the sample has it), and reads the rendered file with a reader
//! of its own, written from nginx's lexical rules. The tree it finds must be the harmless tree with that text exchanged.

#![allow(clippy::unwrap_used, reason = "a test: a panic with the place is the report")]

mod reader;

use std::collections::BTreeMap;

use gatehouse_route::{RouteTable, render};
use reader::{Node, read};
use serde_json::{Value, json};

/// Every field a table has, each string of it different from all others.
fn sample() -> Value {
    let backend = |service: &str, port: Value| json!({"service": service, "port": port, "weight": 3});
    let all = json!({
        "path": "/all/sub", "pathType": "Prefix", "timeout": "31s", "allow": ["203.0.113.0/24"],
        "backends": [backend("svc-one", json!({"named": "port-name"}))],
        "maxBodySize": "11Ki", "buffering": "Off",
        "requestHeaders": {"set": {"x-req-set": "request value"}, "remove": ["x-req-gone"]},
        "responseHeaders": {"set": {"x-res-set": "response value"}, "remove": ["x-res-gone"]},
        "cors": {
            "allowOrigins": ["https://origin.example.net"], "allowMethods": ["PURGE"], "allowHeaders": ["x-cors-in"],
            "exposeHeaders": ["x-cors-out"], "allowCredentials": true, "maxAge": "32s"
        },
        "externalAuth": {
            "service": "svc-auth", "port": {"named": "auth-port"}, "path": "/auth/path", "responseHeaders": ["x-auth-out"]
        },
        "errorText": "error words", "accessLog": "On",
        "stripPrefix": true, "rateLimit": {"requestsPerSecond": 7, "burst": 9},
        "sessionAffinity": {"cookieName": "cookie-name", "maxAge": "33s"}
    });
    let split = json!({
        "path": "/split", "pathType": "Exact", "timeout": "34s",
        "backends": [backend("svc-two", json!({"number": 8080})), backend("svc-three", json!({"number": 8080}))],
        "cors": {"allowOrigins": ["*"], "allowMethods": ["PATCH"]}
    });
    let grpc = json!({
        "path": "/pack.Service", "pathType": "Prefix", "timeout": "38s", "backendProtocol": "GRPC",
        "backends": [backend("svc-five", json!({"named": "grpc-port"})), backend("svc-six", json!({"number": 9090}))],
        "requestHeaders": {"set": {"x-grpc-set": "metadata value"}, "remove": ["x-grpc-gone"]},
        "responseHeaders": {"set": {"x-grpc-res": "answer value"}, "remove": ["x-grpc-res-gone"]}
    });
    let h2c = json!({
        "path": "/h2c", "pathType": "Prefix", "timeout": "39s", "backendProtocol": "H2C", "stripPrefix": true,
        "backends": [backend("svc-seven", json!({"number": 9091}))], "maxBodySize": "13Ki",
        "requestHeaders": {"set": {"x-h2c-set": "another value"}},
        "cors": {"allowOrigins": ["https://second.example.net"]}
    });
    let redirect = json!({
        "path": "/redirect", "pathType": "Prefix", "timeout": "35s", "backends": [],
        "redirect": {"scheme": "http", "hostname": "to.example.net", "port": 8443, "path": "/to/there", "statusCode": 308}
    });
    json!({
        "version": 2, "namespace": "team-name", "clusterDomain": "cluster.example", "resolver": "172.20.0.10",
        "ports": {"8080": {
            "loadBalancer": "balancer-name", "trusted": ["10.0.7.0/24"], "maxBodySize": "12Ki", "idleTimeout": "36s",
            "hosts": {
                "exact.example.org": {"routes": [all, split, redirect, grpc, h2c]},
                "*.wild.example.org": {"routes": [{
                    "path": "/wild", "pathType": "Prefix", "timeout": "37s", "backends": [backend("svc-four", json!({"number": 8081}))]
                }]}
            }
        }}
    })
}

/// What has been written into other people's nginx.conf, after the advisories on ingress-nginx, each in the form that
/// its field had, and the shapes of text to which nginx gives a meaning of its own.
fn fragments() -> Vec<String> {
    let mut out: Vec<String> = [
        // A line break in a path or a comment ends the directive (CVE-2021-25748, 2026-4342).
        "/a\n} location /b { return 200 stolen; }",
        "x\r\n# y\nreturn 200;",
        // Annotations copied as they were (2021-25745, 2021-25746, 2023-5043, 2023-5044).
        "a;} server { listen 8080; root /; autoindex on; } #",
        "https://a.example.com/; } location /x { alias /var/run/secrets/; } #",
        "/a { content_by_lua_block { os.execute('id') } }",
        // A quoted value that ends its quotes (2025-1098, 2025-15566).
        "a\"; ssl_engine /tmp/x; #",
        "a'; load_module /tmp/x.so; #",
        "a\\",
        "a\\\"; return 200; \"",
        // Unquoted URLs and names (2025-24514, 2026-24512).
        "http://a.example.com/#;load_module test;\n",
        "/a;}}}error_log /etc/passwd;#",
        // A pattern that was only compiled, not quoted (2025-1097).
        "CN=(?:a)){}return 200;#",
        // A method list that matched somewhere in the text (2026-1580).
        "GET\n\treturn 200;",
        "GETX; return 200",
        // File names (2025-24513).
        "../../../../etc/passwd",
        "/../../etc/nginx",
        // A path inside a rewrite (2026-3288), variables, and modifiers.
        "/a$request_uri",
        "${host}",
        "$http_x",
        "~^/a",
        "~*\\.php$",
        "=/a",
        "@named",
        "^~ /a",
        "*",
        "*.",
        "",
        " ",
        "default",
        "include",
        "volatile",
        "hostnames",
        "unix:/tmp/x",
        "off",
    ]
    .map(str::to_owned)
    .into();
    out.extend(["a".repeat(5_000), format!("/{}", "a".repeat(5_000)), format!("{};", "a".repeat(5_000))]);
    out
}

const CHARACTERS: [char; 16] =
    ['\n', '\r', '\0', '"', '\'', '\\', ';', '{', '}', '#', '$', '~', '=', '@', 'é', '\u{2028}'];

/// Fragments, the characters inside, before and behind the harmless text, and both together.
fn hostile(harmless: &str) -> Vec<String> {
    let fragments = fragments();
    let mut out = Vec::new();
    for c in CHARACTERS {
        let half = harmless.len() / 2;
        out.extend([
            format!("{c}{harmless}"),
            format!("{harmless}{c}"),
            format!("{}{c}{}", &harmless[..half], &harmless[half..]),
            format!("{harmless}{c}x{c}"),
            c.to_string(),
        ]);
        for fragment in &fragments {
            out.extend([format!("{harmless}{c}{fragment}"), format!("{fragment}{c}"), format!("{c}{fragment}")]);
        }
    }
    for fragment in fragments {
        out.extend([format!("{harmless}{fragment}"), format!("{harmless} {fragment}"), fragment]);
    }
    out
}

/// Names made of hashes differ with the content, and the order of lines follows them; what remains must be the same.
fn plain(nodes: Vec<Node>, exchange: &dyn Fn(&str) -> String) -> Vec<Node> {
    let mut out: Vec<Node> = nodes
        .into_iter()
        .map(|node| Node {
            words: node.words.iter().map(|word| without_hashes(&exchange(word))).collect(),
            block: node.block.map(|block| plain(block, exchange)),
        })
        .collect();
    out.sort();
    out
}

/// Sixteen hexadecimal digits and no more become one sign.
fn without_hashes(word: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain(['\n']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() == 16 { "<hash>" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Pointers to all strings of a value, and to the keys that are users' text: hosts and header names.
fn places(value: &Value, at: &str, out: &mut BTreeMap<String, bool>) {
    match value {
        Value::String(_) => {
            out.insert(at.to_owned(), false);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| places(item, &format!("{at}/{i}"), out));
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                let here = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                if at.ends_with("/hosts") || at.ends_with("/set") || at.ends_with("/ports") {
                    out.insert(here.clone(), true);
                }
                places(field, &here, out);
            }
        }
        _ => {}
    }
}

/// The sample with other text at one place, and the text that stood there.
fn with(sample: &Value, pointer: &str, is_key: bool, text: &str) -> (Value, String) {
    let mut out = sample.clone();
    let old = if is_key {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let fields = out.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        let value = fields.remove(key).unwrap();
        fields.insert(text.to_owned(), value);
        key.to_owned()
    } else {
        let place = out.pointer_mut(pointer).unwrap();
        let old = place.as_str().unwrap().to_owned();
        *place = json!(text);
        old
    };
    (out, old)
}

#[test]
fn hostile_text_is_refused_or_stays_in_its_place() {
    let sample = sample();
    let harmless = RouteTable::from_json(&sample.to_string()).unwrap();
    let tree = read(&render(&harmless)).unwrap();
    let mut found = BTreeMap::new();
    places(&sample, "", &mut found);
    assert!(found.len() > 45, "{} places", found.len());

    let (mut refused, mut admitted) = (0_u32, 0_u32);
    for (pointer, is_key) in &found {
        let (_, old) = with(&sample, pointer, *is_key, "");
        let is_host = *is_key && !pointer.contains("/routes/");
        let mut wrong = 0;
        for text in hostile(&old) {
            // The one text with another meaning: every origin. It has a type of its own and is in the sample.
            if pointer.contains("/allowOrigins/") && text == "*" {
                continue;
            }
            let (table, _) = with(&sample, pointer, *is_key, &text);
            let Ok(table) = RouteTable::from_json(&table.to_string()) else {
                refused += 1;
                wrong += 1;
                continue;
            };
            admitted += 1;
            assert!(text.len() <= 3_500, "{pointer}: {} characters are admitted", text.len());
            let conf = render(&table);
            let got = read(&conf).unwrap_or_else(|why| panic!("{pointer}: {text:?}: {why}"));
            // What does not stand in the file as text (a size in bytes, the load balancer's name) must not come into it.
            let expected = plain(tree.clone(), &|word| exchanged(word, &old, &text, is_host));
            same(&expected, &plain(got, &str::to_owned), &format!("{pointer}: {text:?}"));
        }
        assert!(wrong > 500, "{pointer} refuses only {wrong}");
    }
    eprintln!("{} places, {refused} texts refused, {admitted} admitted and read back", found.len());
    assert!(admitted > 500, "only {admitted} texts were admitted: the reading back proves nothing");
}

/// Panics with what is only in one of the two.
fn same(expected: &[Node], got: &[Node], place: &str) {
    let missing: Vec<&Node> = expected.iter().filter(|node| !got.contains(node)).collect();
    let extra: Vec<&Node> = got.iter().filter(|node| !expected.contains(node)).collect();
    if let ([one], [other]) = (&missing[..], &extra[..])
        && let (Some(one_block), Some(other_block)) = (&one.block, &other.block)
        && one.words == other.words
    {
        return same(one_block, other_block, place);
    }
    assert!(expected == got, "{place}: missing {missing:#?}, not expected {extra:#?}");
}

/// The word as it would be with the other text; a wildcard host is a pattern of the edge's own around it.
fn exchanged(word: &str, old: &str, new: &str, is_host: bool) -> String {
    if is_host {
        let regex = |suffix: &str| format!("~^[^.]+\\.{}$", suffix.replace('.', "\\."));
        let form = |host: &str| host.strip_prefix("*.").map_or_else(|| host.to_owned(), regex);
        return word.replace(&form(old), &form(new));
    }
    // A header's name inside nginx's variable for it.
    if let Some(name) = word.strip_prefix("$upstream_http_") {
        let inside = |text: &str| text.replace('-', "_");
        return format!("$upstream_http_{}", name.replace(&inside(old), &inside(new)));
    }
    word.replace(old, new)
}

/// The reader must not be blind: what a careless writer would have made is seen as what nginx makes of it.
#[test]
fn the_reader_sees_what_nginx_sees() {
    let words = |text: &str| read(text).unwrap().into_iter().map(|node| node.words).collect::<Vec<_>>();
    assert_eq!(words(r#"a "b;c" 'd}';"#), [["a", "b;c", "d}"]]);
    assert_eq!(words(r#"a "b\"c\\" x\;y;"#), [["a", "b\"c\\", "x\\;y"]]);
    assert_eq!(words("a b#c; # d;\ne f;"), [["a", "b#c"], ["e", "f"]]);
    assert_eq!(words("a ${b}c;"), [["a", "${b}c"]]);
    assert_eq!(words("location /a; return 200; #;").len(), 2);
    for bad in ["a", "a {", "}", "a \"b", "a \"b\"c;", "a } ", ";", "{ a; }"] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    let nested = read("a { b c; d { e; } }").unwrap();
    assert_eq!(nested[0].block.as_ref().unwrap()[1].block.as_ref().unwrap()[0].words, ["e"]);
}
