# How many ids of publishes are remembered, and whose.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: one channel may have all of them, in a zone of many shards
--- hub: zone 64m; max_idempotency_ids 300; channel_buffer_size 1;
--- play
sub once { my ($id, $duplicate) = @_; return api('publish', qq({"channel":"ids1","content":"x","id":"$id"}), 200, qr/"duplicate":$duplicate/) }
once($_, 'false') for 1 .. 300;
once(1, 'true');
once(301, 'false');
once(2, 'true');
once(1, 'false');
--- error_log
max_idempotency_ids
--- no_error_log
[error]



=== TEST 2: a client's ids make no back end's be forgotten, and are known themselves
--- hub: zone 4m; max_idempotency_ids 20; channel_buffer_size 1;
--- config
    location /icomet-admin/ { icomet_pub main; }
    location = /chat/ws { icomet_sub main; icomet_ws_publish on; }
--- play
api('publish', '{"channel":"ids2","content":"x","id":"mine"}', 200, qr/"duplicate":false/);
my $ws = IcometTest::Socket->new(conn(), '/chat/ws');
same($ws->status, 101, 'it opens');
sub says { my ($n) = @_; $ws->send(0x81, qq({"type":"publish","channel":"ids2-ws","content":"x","once":"$n"})); return $ws->said }
says($_) for 1 .. 200;
matches(says(200), qr/"seq":200\b/, 'the last one is known');
matches(says(1), qr/"seq":201\b/, 'the first one no longer');
api('publish', '{"channel":"ids2","content":"x","id":"mine"}', 200, qr/"duplicate":true/);
