# master_process off: one process that is master and worker.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} ? (skip_all => 'such a process is not reloaded') : 'no_plan';

set_up(single => 1);
run_tests();

__DATA__

=== TEST 1: the whole way of a message
--- play
my $poll = subscribe('/icomet/sub?cname=single1&seq=1');
my $stream = subscribe('/icomet/stream?cname=single1&seq=1');
my $psub = conn()->request('GET', '/icomet-admin/psub');
$psub->head;
push_ok('single1', 'x');
same($poll->rest, data('single1', 1, 'x') . "\n", 'sub');
same($stream->line, data('single1', 1, 'x') . "\n", 'stream');
get('/icomet-admin/close?cname=single1');
same($stream->line, data('single1', 2, '', 'close') . "\n", 'close');
same($psub->line, "0 single1\n", 'psub');



=== TEST 2: noop and expiry
--- hub: polling_timeout 1s; channel_timeout 1s;
--- play
same(get('/icomet/sub?cname=single2&seq=1&noop=4'), data('single2', 4, '', 'noop') . "\n", 'noop');
await_check('single2', 0);
