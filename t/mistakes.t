# An operator's mistakes: nginx does not start, and says what is wrong and what would be right.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: zone: no size
--- http_config
    icomet_hub main { zone big; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "big".*1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 2: zone: too small
--- http_config
    icomet_hub main { zone 1000k; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "1000k" is too small: use 1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 3: zone: zero
--- http_config
    icomet_hub main { zone 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "0" is too small: use 1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 4: zone: absurdly large
--- http_config
    icomet_hub main { zone 33g; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "33g" is too large: use 1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 5: zone: overflowing
--- http_config
    icomet_hub main { zone 99999999999999999999g; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "99999999999999999999g".*1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 6: zone: negative
--- http_config
    icomet_hub main { zone -1m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*zone "-1m".*1m to 32g.* in \S*nginx\.conf:\d+/]



=== TEST 7: auth: unknown word
--- http_config
    icomet_hub main { auth basic; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*auth "basic": use "none" or "token".* in \S*nginx\.conf:\d+/]



=== TEST 8: max_channels: zero
--- http_config
    icomet_hub main { max_channels 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_channels "0": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 9: max_channels: no number
--- http_config
    icomet_hub main { max_channels many; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_channels "many": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 10: max_channels: negative
--- http_config
    icomet_hub main { max_channels -1; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_channels "-1": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 11: max_channels: too large
--- http_config
    icomet_hub main { max_channels 100000001; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_channels "100000001": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 12: max_subscribers_per_channel: zero
--- http_config
    icomet_hub main { max_subscribers_per_channel 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_channel "0": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 13: max_subscribers_per_channel: no number
--- http_config
    icomet_hub main { max_subscribers_per_channel many; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_channel "many": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 14: max_subscribers_per_channel: negative
--- http_config
    icomet_hub main { max_subscribers_per_channel -1; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_channel "-1": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 15: max_subscribers_per_channel: too large
--- http_config
    icomet_hub main { max_subscribers_per_channel 100000001; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_channel "100000001": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 16: channel_buffer_size: zero
--- http_config
    icomet_hub main { channel_buffer_size 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_buffer_size "0": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+/]



=== TEST 17: channel_buffer_size: no number
--- http_config
    icomet_hub main { channel_buffer_size many; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_buffer_size "many": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+/]



=== TEST 18: channel_buffer_size: negative
--- http_config
    icomet_hub main { channel_buffer_size -1; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_buffer_size "-1": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+/]



=== TEST 19: channel_buffer_size: too large
--- http_config
    icomet_hub main { channel_buffer_size 1000001; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_buffer_size "1000001": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+/]



=== TEST 20: channel_timeout: zero
--- http_config
    icomet_hub main { channel_timeout 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_timeout "0": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 21: channel_timeout: under a second
--- http_config
    icomet_hub main { channel_timeout 999ms; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_timeout "999ms": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 22: channel_timeout: too long
--- http_config
    icomet_hub main { channel_timeout 366d; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_timeout "366d": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 23: channel_timeout: no time
--- http_config
    icomet_hub main { channel_timeout soon; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_timeout "soon": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 24: polling_timeout: zero
--- http_config
    icomet_hub main { polling_timeout 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*polling_timeout "0": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 25: polling_timeout: under a second
--- http_config
    icomet_hub main { polling_timeout 999ms; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*polling_timeout "999ms": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 26: polling_timeout: too long
--- http_config
    icomet_hub main { polling_timeout 25h; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*polling_timeout "25h": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 27: polling_timeout: no time
--- http_config
    icomet_hub main { polling_timeout soon; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*polling_timeout "soon": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 28: max_message_size: zero
--- http_config
    icomet_hub main { max_message_size 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_message_size "0" is too small: use 1 to 256m.* in \S*nginx\.conf:\d+/]



=== TEST 29: max_message_size: too large
--- http_config
    icomet_hub main { max_message_size 257m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_message_size "257m" is too large: use 1 to 256m.* in \S*nginx\.conf:\d+/]



=== TEST 30: max_message_size: larger than the zone takes
--- http_config
    icomet_hub main { zone 1m; max_message_size 1m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_message_size 1048576 does not fit into the zone of hub "main" \(1048576 bytes\).*at most half.* in \S*nginx\.conf:\d+/]



=== TEST 31: on_full: unknown word
--- http_config
    icomet_hub main { on_full drop; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*on_full "drop": use "refuse" or "evict".* in \S*nginx\.conf:\d+/]



=== TEST 32: an unknown parameter
--- http_config
    icomet_hub main { max_channel 5; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown parameter "max_channel" in icomet_hub: it takes zone, auth,.* on_full.* in \S*nginx\.conf:\d+/]



=== TEST 33: a parameter twice
--- http_config
    icomet_hub main { auth none; auth token; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"auth" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 34: a parameter without a value
--- http_config
    icomet_hub main { auth; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"auth" takes one value, 0 are given.* in \S*nginx\.conf:\d+/]



=== TEST 35: a parameter with two values
--- http_config
    icomet_hub main { zone 1m 2m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"zone" takes one value, 2 are given.* in \S*nginx\.conf:\d+/]



=== TEST 36: a block within the block
--- http_config
    icomet_hub main { zone { } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*.* in \S*nginx\.conf:\d+/]



=== TEST 37: a hub twice
--- http_config
    icomet_hub main { }
    icomet_hub main { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*icomet_hub "main" is defined already in \S*nginx\.conf:\d+: give this one another name.* in \S*nginx\.conf:\d+/]



=== TEST 38: a hub without a name
--- http_config
    icomet_hub { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_hub" directive.* in \S*nginx\.conf:\d+/]



=== TEST 39: a hub with two names
--- http_config
    icomet_hub a b { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_hub" directive.* in \S*nginx\.conf:\d+/]



=== TEST 40: a hub without a block
--- http_config
    icomet_hub a;
--- must_die
--- error_log eval
[qr/\[emerg\] .*directive "icomet_hub" has no opening "\{".* in \S*nginx\.conf:\d+/]



=== TEST 41: a hub's name with strange characters
--- http_config
    icomet_hub a/b { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid hub name "a\/b": use 1 to 64 letters, digits, "_" and "-".* in \S*nginx\.conf:\d+/]



=== TEST 42: a hub's name that is too long
--- http_config
    icomet_hub xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid hub name "x{65}": use 1 to 64.* in \S*nginx\.conf:\d+/]



=== TEST 43: a hub that is not there
--- config
    location /x { icomet_sub chat; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown hub "chat" in "icomet_sub" in \S*nginx\.conf:\d+: define it by "icomet_hub chat \{ \}" in the http block, or use one of: .*main/]



=== TEST 44: a hub that is not there, for publishers
--- config
    location /x { icomet_pub chat; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown hub "chat" in "icomet_pub".* in \S*nginx\.conf:\d+/]



=== TEST 45: an endpoint where the hub should stand
--- config
    location /x { icomet_sub sse; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown hub "sse".*the hub.s name comes before the endpoint, as in "icomet_sub main sse;"/]



=== TEST 46: an unknown endpoint
--- config
    location /x { icomet_sub main ws2; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown endpoint "ws2" in "icomet_sub": use one of sub, poll, stream, sse, iframe, ws, ping, presence, history in \S*nginx\.conf:\d+/]



=== TEST 47: an endpoint of the other side
--- config
    location /x { icomet_sub main push; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown endpoint "push" in "icomet_sub": use one of sub, poll.* in \S*nginx\.conf:\d+/]



=== TEST 48: an endpoint of the other side, for publishers
--- config
    location /x { icomet_pub main sse; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown endpoint "sse" in "icomet_pub": use one of pub, push.* in \S*nginx\.conf:\d+/]



=== TEST 49: too many arguments of icomet_sub
--- config
    location /x { icomet_sub main sse more; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_sub" directive.* in \S*nginx\.conf:\d+/]



=== TEST 50: too many arguments of icomet_pub
--- config
    location /x { icomet_pub main push more; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_pub" directive.* in \S*nginx\.conf:\d+/]



=== TEST 51: icomet_sub twice
--- config
    location /x { icomet_sub; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 52: icomet_pub twice
--- config
    location /x { icomet_pub; icomet_pub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_pub" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 53: both sides in one location
--- config
    location /x { icomet_sub; icomet_pub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_pub" cannot stand in one location with "icomet_sub": give each a location of its own.* in \S*nginx\.conf:\d+/]



=== TEST 54: beside proxy_pass
--- config
    location /x { proxy_pass http://127.0.0.1:1; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub" cannot stand in one location with another directive that answers.* in \S*nginx\.conf:\d+/]



=== TEST 55: icomet_sub in a server
--- config
    icomet_sub main;
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 56: icomet_pub in the http block
--- http_config
    icomet_pub main;
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_pub" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 57: icomet_hub in a server
--- config
    icomet_hub a { }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_hub" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 58: icomet_hub in a location
--- config
    location /x { icomet_hub a { } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_hub" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 59: a hub's parameter in the http block
--- http_config
    max_channels 5;
--- must_die
--- error_log eval
[qr/\[emerg\] .*"max_channels" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 60: icomet_channel without a value
--- config
    location /x { icomet_channel; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_channel" directive.* in \S*nginx\.conf:\d+/]



=== TEST 61: icomet_channel with an empty value
--- config
    location /x { icomet_channel ""; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_channel" is empty: give a value, as in "\$arg_cname".* in \S*nginx\.conf:\d+/]



=== TEST 62: icomet_channel twice
--- config
    location /x { icomet_channel a; icomet_channel b; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_channel" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 63: icomet_channel with an unknown variable
--- config
    location /x { icomet_channel $nosuch; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown "nosuch" variable/]



=== TEST 64: icomet_channel with two values
--- config
    location /x { icomet_channel a b; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid number of arguments in "icomet_channel" directive.* in \S*nginx\.conf:\d+/]



=== TEST 65: icomet_park is neither on nor off
--- config
    location /x { icomet_park yes; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid value "yes" in "icomet_park": use "on" or "off".* in \S*nginx\.conf:\d+/]



=== TEST 66: icomet_park twice
--- config
    location /x { icomet_park on; icomet_park off; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_park" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 67: max_subscribers_per_ip: negative
--- http_config
    icomet_hub main { max_subscribers_per_ip -1; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_ip "-1": use a number from 0 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 68: max_subscribers_per_ip: no number
--- http_config
    icomet_hub main { max_subscribers_per_ip many; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_ip "many": use a number from 0 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 69: max_subscribers_per_ip: too large
--- http_config
    icomet_hub main { max_subscribers_per_ip 100000001; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_subscribers_per_ip "100000001": use a number from 0 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 70: max_batch: zero
--- http_config
    icomet_hub main { max_batch 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_batch "0": use a number from 1 to 100000.* in \S*nginx\.conf:\d+/]



=== TEST 71: max_batch: too large
--- http_config
    icomet_hub main { max_batch 100001; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_batch "100001": use a number from 1 to 100000.* in \S*nginx\.conf:\d+/]



=== TEST 72: idempotency_window: too short
--- http_config
    icomet_hub main { idempotency_window 10ms; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid idempotency_window "10ms": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 73: idempotency_window: too long
--- http_config
    icomet_hub main { idempotency_window 2d; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid idempotency_window "2d": use a time from 1s to 1d.* in \S*nginx\.conf:\d+/]



=== TEST 74: max_idempotency_ids: zero
--- http_config
    icomet_hub main { max_idempotency_ids 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_idempotency_ids "0": use a number from 1 to 100000000.* in \S*nginx\.conf:\d+/]



=== TEST 75: an operation that there is not
--- config
    location / { icomet_pub main api/nothing; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*unknown endpoint "api/nothing" in "icomet_pub": use one of .*psub, api, api/publish, api/batch, api/history, api/presence, api/channels, api/info, api/disconnect in \S*nginx\.conf:\d+}]



=== TEST 76: allowed_origins: a host without a scheme
--- http_config
    icomet_hub main { allowed_origins https://a.example b.example; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid origin "b\.example" in "allowed_origins": give origins as browsers send them.* in \S*nginx\.conf:\d+/]



=== TEST 77: allowed_origins: "*" beside another
--- http_config
    icomet_hub main { allowed_origins * https://a.example; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid origin "\*" in "allowed_origins".* in \S*nginx\.conf:\d+/]



=== TEST 78: allowed_origins: nothing
--- http_config
    icomet_hub main { allowed_origins; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"allowed_origins" takes at least one value.* in \S*nginx\.conf:\d+/]



=== TEST 79: ws_max_message_size: too large
--- http_config
    icomet_hub main { ws_max_message_size 257m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*ws_max_message_size "257m".* in \S*nginx\.conf:\d+/]



=== TEST 80: max_channels_per_subscriber: zero
--- http_config
    icomet_hub main { max_channels_per_subscriber 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid max_channels_per_subscriber "0": use a number from 1 to 256.* in \S*nginx\.conf:\d+/]



=== TEST 81: icomet_ws_publish is neither on nor off
--- config
    location /x { icomet_ws_publish yes; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid value "yes" in "icomet_ws_publish": use "on" or "off".* in \S*nginx\.conf:\d+/]



=== TEST 82: icomet_ws_publish twice
--- config
    location /x { icomet_ws_publish on; icomet_ws_publish on; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_ws_publish" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 83: icomet_sub_presence is neither on nor off
--- config
    location /x { icomet_sub_presence yes; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid value "yes" in "icomet_sub_presence": use "on" or "off".* in \S*nginx\.conf:\d+/]



=== TEST 84: icomet_sub_presence twice
--- config
    location /x { icomet_sub_presence on; icomet_sub_presence on; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub_presence" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 85: icomet_sub_history is neither on nor off
--- config
    location /x { icomet_sub_history 1; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid value "1" in "icomet_sub_history": use "on" or "off".* in \S*nginx\.conf:\d+/]



=== TEST 86: icomet_sub_history twice
--- config
    location /x { icomet_sub_history on; icomet_sub_history on; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub_history" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 87: icomet_user twice
--- config
    location /x { icomet_user $remote_user; icomet_user $remote_addr; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_user" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 88: icomet_user with a variable that is none
--- config
    location /x { icomet_user $no_such_variable; icomet_sub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown "no_such_variable" variable/]



=== TEST 89: ws_rate: no value
--- http_config
    icomet_hub main { ws_rate; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"ws_rate" takes at least one value, none is given.* in \S*nginx\.conf:\d+/]



=== TEST 90: ws_rate: no unit
--- http_config
    icomet_hub main { ws_rate 100; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "100": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 91: ws_rate: another unit
--- http_config
    icomet_hub main { ws_rate 100r/m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "100r\/m": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 92: ws_rate: zero
--- http_config
    icomet_hub main { ws_rate 0/s; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "0\/s": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 93: ws_rate: too many
--- http_config
    icomet_hub main { ws_rate 100001/s; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "100001\/s": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 94: ws_rate: a burst alone
--- http_config
    icomet_hub main { ws_rate burst=5; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "burst=5": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 95: ws_rate: a burst of nothing
--- http_config
    icomet_hub main { ws_rate 5/s burst=0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "burst=0": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 96: ws_rate: a burst that is none
--- http_config
    icomet_hub main { ws_rate 5/s burst=x; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "burst=x": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 97: ws_rate: something else behind it
--- http_config
    icomet_hub main { ws_rate 5/s nodelay; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "nodelay": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 98: ws_rate: too many values
--- http_config
    icomet_hub main { ws_rate 5/s burst=5 nodelay; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "nodelay": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 99: ws_rate: off with a burst
--- http_config
    icomet_hub main { ws_rate off burst=5; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid ws_rate "off": use "off", or commands a second from 1\/s to 100000\/s and then, if you like, burst=N from 1 to 1000000, as in "100\/s burst=256".* in \S*nginx\.conf:\d+/]



=== TEST 100: ws_rate: twice
--- http_config
    icomet_hub main { ws_rate off; ws_rate 5/s; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"ws_rate" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 101: in front of proxy_pass
--- config
    location /x { icomet_sub; proxy_pass http://127.0.0.1:1; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_sub" in \S*nginx\.conf:\d+ cannot stand in one location with another directive that answers.*: give it a location of its own in \S*nginx\.conf:\d+/]



=== TEST 102: in front of fastcgi_pass, in a location of its own within another
--- config
    location /x { icomet_sub; location /x/y { icomet_pub; fastcgi_pass 127.0.0.1:1; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_pub" in \S*nginx\.conf:\d+ cannot stand in one location with another directive that answers.*: give it a location of its own in \S*nginx\.conf:\d+/]



=== TEST 103: behind stub_status
--- config
    location /x { stub_status; icomet_pub; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"icomet_pub" cannot stand in one location with another directive that answers.*: give it a location of its own in \S*nginx\.conf:\d+/]



=== TEST 104: message_ttl: zero
--- http_config
    icomet_hub main { message_ttl 0; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid message_ttl "0": use a time from 1s to 365d, as in "30s", or "off" in \S*nginx\.conf:\d+/]



=== TEST 105: empty_channels: no percent sign
--- http_config
    icomet_hub main { empty_channels 50; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid empty_channels "50": use 1% to 100%, as in "50%".* in \S*nginx\.conf:\d+/]



=== TEST 106: empty_channels: zero
--- http_config
    icomet_hub main { empty_channels 0%; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid empty_channels "0%": use 1% to 100%, as in "50%".* in \S*nginx\.conf:\d+/]



=== TEST 107: empty_channels: too much
--- http_config
    icomet_hub main { empty_channels 101%; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid empty_channels "101%": use 1% to 100%, as in "50%".* in \S*nginx\.conf:\d+/]



=== TEST 108: empty_channels: signed
--- http_config
    icomet_hub main { empty_channels +5%; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid empty_channels "\+5%": use 1% to 100%, as in "50%".* in \S*nginx\.conf:\d+/]
