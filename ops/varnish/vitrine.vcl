# Varnish in front of several Vitrine nodes. Tried with 7.1 and varnish-modules 0.20.
#
# Each picture has a home node, chosen by its public ID. So its renditions are made once, also if Varnish drops
# them. If a node leaves, only its own pictures move to other nodes.
#
# Change the backends, the two lists of them in vcl_init, and the ACL. Give each node the address of Varnish in
# VITRINE_TRUST_PROXY. For purges, set VITRINE_PURGE_URL=http://VARNISH:PORT/images/{publicID} on each node.

vcl 4.1;

import directors;
import std;
import vsthrottle;
import xkey;

# A node without its database still answers for pictures that it knows.
probe reads {
    .request =
        "GET /readyz?for=reads HTTP/1.1"
        "Host: vitrine"
        "Connection: close";
    .interval = 2s;
    .timeout = 2s;
    .window = 2;
    .threshold = 1;
    .initial = 1;
}

backend node1 {
    .host = "node1";
    .port = "4100";
    .probe = reads;
    .connect_timeout = 1s;
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}
backend node2 {
    .host = "node2";
    .port = "4100";
    .probe = reads;
    .connect_timeout = 1s;
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}
backend node3 {
    .host = "node3";
    .port = "4100";
    .probe = reads;
    .connect_timeout = 1s;
    .first_byte_timeout = 75s;
    .between_bytes_timeout = 75s;
}

# The nodes, which may purge. Their addresses as Varnish sees them.
acl nodes {
    "localhost";
    "10.0.0.0"/8;
    "172.16.0.0"/12;
    "192.168.0.0"/16;
}

sub vcl_init {
    # The names decide which pictures a node has. Keep them when the order of the lines changes.
    new pictures = directors.shard();
    pictures.add_backend(node1, ident = "node1");
    pictures.add_backend(node2, ident = "node2");
    pictures.add_backend(node3, ident = "node3");
    pictures.reconfigure();

    new api = directors.round_robin();
    api.add_backend(node1);
    api.add_backend(node2);
    api.add_backend(node3);
}

sub vcl_recv {
    # Clients must not choose their address. With another proxy in front, use its PROXY protocol:
    # varnishd -a :6081,PROXY.
    set req.http.X-Forwarded-For = client.ip;

    # The public ID of a picture is its tag.
    unset req.http.X-Public-ID;
    if (req.url ~ "^/images/[^/?]") {
        set req.http.X-Public-ID = regsub(req.url, "^/images/([^/?]+).*$", "\1");
    }

    # Removes a picture in all sizes and formats.
    if (req.method == "PURGE") {
        if (client.ip !~ nodes) {
            return (synth(403, "Only nodes may purge"));
        }
        if (!req.http.X-Public-ID) {
            return (synth(400, "Purge /images/{publicID}"));
        }
        # An answer on its way may still have the old picture. So vcl_backend_response looks for this mark, of
        # the present minute and of the minute before.
        set req.http.X-Mark = req.http.X-Public-ID + " " + std.time2integer(now, 0) / 60;
        if (vsthrottle.is_denied(req.http.X-Mark, 1, 120s)) {
            std.log("purged again");
        }
        return (synth(200, "Purged " + xkey.purge(req.http.X-Public-ID)));
    }

    # Only the network of the nodes may read these.
    if (req.url ~ "^/(metrics|readyz)(\?|$)") {
        return (synth(404, "Not found"));
    }

    if (!req.http.X-Public-ID) {
        # A file of 16 MiB and the rest of the form. The nodes have the exact limit.
        if (std.integer(req.http.Content-Length, 0) > 17825792) {
            return (synth(413, "The request is larger than 17 MiB"));
        }
        set req.backend_hint = api.backend();
        return (pass);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    unset req.http.Cookie;
    unset req.http.Authorization;

    # Reduces Accept to the few values that matter to the nodes. A type counts as named only without q, or
    # with q=1. All other headers stay as they are.
    std.collect(req.http.Accept);
    if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/webp[ \t]*(;[ \t]*q[ \t]*=[ \t]*1(\.0*)?[ \t]*)?(,|$)") {
        if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/avif[ \t]*(;[ \t]*q[ \t]*=[ \t]*1(\.0*)?[ \t]*)?(,|$)") {
            set req.http.Accept = "image/avif,image/webp,*/*";
        } elsif (req.http.Accept !~ "(?i)image/avif") {
            set req.http.Accept = "image/webp,*/*";
        }
    } elsif (req.http.Accept !~ "(?i)image/(avif|webp|jpe?g|png)") {
        set req.http.Accept = "*/*";
    }

    # Old pictures are shown only while no node answers. VITRINE_CACHE_CONTROL limits their age.
    if (std.healthy(pictures.backend(by = KEY, key = pictures.key(req.http.X-Public-ID)))) {
        set req.grace = 0s;
    }
    return (hash);
}

sub vcl_hash {
    # The host does not matter: a public ID is unique.
    hash_data(req.url);
    # A link with a format has the same answer for each Accept.
    if (req.url !~ "[?&]format=(avif|webp|jpeg|png)(&|$)") {
        hash_data(req.http.Accept);
    }
    return (lookup);
}

sub vcl_backend_fetch {
    if (bereq.http.X-Public-ID) {
        # A repeated request goes to the next node.
        set bereq.backend = pictures.backend(by = KEY, key = pictures.key(bereq.http.X-Public-ID),
            alt = bereq.retries);
    }
}

sub vcl_backend_response {
    if (!bereq.http.X-Public-ID || bereq.uncacheable) {
        return (deliver);
    }
    # A node that stops answers 503.
    if (beresp.status == 503 && bereq.retries == 0) {
        return (retry);
    }
    if (beresp.status != 200 && beresp.status != 404) {
        # A renewal in the background must not replace a good picture by an error.
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    set beresp.http.xkey = bereq.http.X-Public-ID;
    # The key has the reduced Accept already. vcl_deliver sets the header again.
    unset beresp.http.Vary;
    # Marks of vcl_recv: the picture was purged. The node may have read its record before that.
    set bereq.http.X-Mark = bereq.http.X-Public-ID + " " + std.time2integer(now, 0) / 60;
    set bereq.http.X-Mark-Before = bereq.http.X-Public-ID + " " + std.time2integer(now - 60s, 0) / 60;
    if (vsthrottle.remaining(bereq.http.X-Mark, 1, 120s) < 1 ||
        vsthrottle.remaining(bereq.http.X-Mark-Before, 1, 120s) < 1) {
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
        set beresp.keep = 0s;
    }
}

sub vcl_backend_error {
    if (bereq.http.X-Public-ID && bereq.retries == 0 && (bereq.method == "GET" || bereq.method == "HEAD")) {
        return (retry);
    }
    set beresp.http.Content-Type = "application/json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "2";
    set beresp.body = """{"error":"the server cannot be reached"}""";
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.xkey;
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    if (req.http.X-Public-ID) {
        set resp.http.Vary = "Accept";
        if (obj.hits > 0) {
            set resp.http.X-Cache = "HIT";
            # They belong to the first request.
            unset resp.http.Server-Timing;
            unset resp.http.X-Request-Id;
        } else {
            set resp.http.X-Cache = "MISS";
        }
    }
}

sub vcl_synth {
    set resp.http.Content-Type = "application/json";
    set resp.http.Cache-Control = "no-store";
    set resp.body = {"{"error":""} + resp.reason + """"}""";
    return (deliver);
}
