# Mistakes in rules for channels and in options of messages: nginx does not start, and says what is wrong and what
# would be right.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: channels: no pattern
--- http_config
    icomet_hub main { channels { message_ttl 1s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"channels" takes one pattern, 0 are given.* in \S*nginx\.conf:\d+/]



=== TEST 2: channels: two patterns
--- http_config
    icomet_hub main { channels a.* b.* { message_ttl 1s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"channels" takes one pattern, 2 are given.* in \S*nginx\.conf:\d+/]



=== TEST 3: channels: an empty pattern
--- http_config
    icomet_hub main { channels "" { message_ttl 1s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid pattern "" in "channels": use 1 to 256 bytes.* in \S*nginx\.conf:\d+/]



=== TEST 4: channels: a pattern that is no name's
--- http_config
    icomet_hub main { channels "a\nb" { message_ttl 1s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid pattern "a.* in \S*nginx\.conf:\d+/]



=== TEST 5: channels: one pattern twice
--- http_config
    icomet_hub main { channels a.* { message_ttl 1s; } channels a.* { message_ttl 2s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channels "a\.\*" is duplicate: the one in \S*nginx\.conf:\d+ holds.* in \S*nginx\.conf:\d+/]



=== TEST 6: channels: no block
--- http_config
    icomet_hub main { channels a.*; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*directive "channels" has no opening "\{".* in \S*nginx\.conf:\d+/]



=== TEST 7: channels: a parameter that is the hub's
--- http_config
    icomet_hub main { channels a.* { max_channels 5; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown parameter "max_channels" in channels "a\.\*": it takes channel_buffer_size, message_ttl, channel_timeout, max_subscribers_per_channel, max_message_size.* in \S*nginx\.conf:\d+/]



=== TEST 8: channels: a value that is none
--- http_config
    icomet_hub main { channels a.* { channel_buffer_size 0; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*channel_buffer_size "0": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+/]



=== TEST 9: channels: no value
--- http_config
    icomet_hub main { channels a.* { message_ttl; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"message_ttl" takes one value, 0 are given.* in \S*nginx\.conf:\d+/]



=== TEST 10: channels: a parameter twice
--- http_config
    icomet_hub main { channels a.* { message_ttl 1s; message_ttl 2s; } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"message_ttl" is duplicate.* in \S*nginx\.conf:\d+/]



=== TEST 11: channels: a message that the zone does not take
--- http_config
    icomet_hub main { channels a.* { max_message_size 8m; } zone 4m; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*max_message_size 8388608 of channels "a\.\*" does not fit into the zone of hub "main".* in \S*nginx\.conf:\d+/]



=== TEST 12: channels: a block in the block
--- http_config
    icomet_hub main { channels a.* { channels b.* { } } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unexpected "\{".* in \S*nginx\.conf:\d+/]



=== TEST 13: channels: outside of a hub
--- http_config
    channels a.* { message_ttl 1s; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*"channels" directive is not allowed here.* in \S*nginx\.conf:\d+/]



=== TEST 14: message_ttl: no time
--- http_config
    icomet_hub main { message_ttl soon; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid message_ttl "soon": use a time from 1s to 365d, as in "30s", or "off".* in \S*nginx\.conf:\d+/]



=== TEST 15: message_ttl: too short
--- http_config
    icomet_hub main { message_ttl 500ms; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid message_ttl "500ms": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 16: message_ttl: too long
--- http_config
    icomet_hub main { message_ttl 366d; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid message_ttl "366d": use a time from 1s to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 17: a parameter of a hub with a block
--- http_config
    icomet_hub main { zone { } }
--- must_die
--- error_log eval
[qr/\[emerg\] .*directive "zone" is not terminated by ";".* in \S*nginx\.conf:\d+/]



=== TEST 18: a directive of nginx's own in a hub
--- http_config
    icomet_hub main { root /tmp; }
--- must_die
--- error_log eval
[qr/\[emerg\] .*unknown parameter "root" in icomet_hub: it takes zone,.* in \S*nginx\.conf:\d+/]



=== TEST 19: icomet_publish: a ttl that is none
--- http_config
    icomet_publish a b ttl=soon;
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid "ttl=soon" in "icomet_publish": use a time from 1ms to 365d.* in \S*nginx\.conf:\d+/]



=== TEST 20: icomet_publish: no name of an event
--- http_config
    icomet_publish a b event=;
--- must_die
--- error_log eval
[qr/\[emerg\] .*invalid "event=" in "icomet_publish": an event\'s name has 1 to 64 characters.* in \S*nginx\.conf:\d+/]



=== TEST 21: icomet_publish: two hubs
--- http_config
    icomet_publish a b main other;
--- must_die
--- error_log eval
[qr/\[emerg\] .*"other" is one too many in "icomet_publish".* in \S*nginx\.conf:\d+/]



=== TEST 22: icomet_publish: a ttl twice
--- http_config
    icomet_publish a b ttl=1s ttl=2s;
--- must_die
--- error_log eval
[qr/\[emerg\] .*"ttl=2s" is one too many in "icomet_publish".* in \S*nginx\.conf:\d+/]
