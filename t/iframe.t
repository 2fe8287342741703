# iframe: a page without end, a script a message.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: a page head with padding at once, then a script a message
--- play
my $iframe = subscribe('/icomet/iframe?cname=iframe1&seq=1');
same($iframe->head, 200, 'status');
same($iframe->header('Content-Type'), 'text/html; charset=utf-8', 'Content-Type');
same($iframe->header('Cache-Control'), 'no-cache, no-transform, private', 'Cache-Control');
same($iframe->header('Expires'), '0', 'Expires');
push_ok('iframe1', 'hi');
my ($page, $line) = ('');
$page .= $line until ($line = $iframe->line) =~ /^<script/ or $line eq '';
matches($page, qr/\A<(?:!DOCTYPE )?html/i, 'it is a page');
matches($page, qr/<body/, 'whose body has begun');
same(length($page) >= 4096 ? 'enough' : length $page, 'enough', 'padding, so that old browsers run the first script at once');
same($page =~ /document\.domain/ ? 1 : 0, 0, 'the origin is not relaxed');
same($line, qq(<script>parent.icomet_cb({"type":"data","cname":"iframe1","seq":1,"content":"hi"});</script>\n), 'first script');
for my $seq (2 .. 5) {
    push_ok('iframe1', "m$seq");
    same($iframe->line, '<script>parent.icomet_cb(' . data('iframe1', $seq, "m$seq") . ");</script>\n", "script $seq");
}



=== TEST 2: next_seq, broadcast, noop, lost and close
--- hub: polling_timeout 1s; channel_buffer_size 2;
--- play
sub scripts {
    my ($iframe, @messages) = @_;
    for (@messages) {
        my $line;
        1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
        same($line, "<script>parent.icomet_cb($_);</script>\n", $_);
    }
}
my $iframe = subscribe('/icomet/iframe?cname=iframe2&noop=5');
scripts($iframe, data('iframe2', 1, '', 'next_seq'), data('iframe2', 5, '', 'noop'));
get('/icomet-admin/broadcast?content=b');
scripts($iframe, data('iframe2', 1, 'b', 'broadcast'), data('iframe2', 2, '', 'next_seq'));
push_ok('iframe2', $_) for 2 .. 4;
scripts($iframe, map { data('iframe2', $_, $_) } 2 .. 4);
scripts(subscribe('/icomet/iframe?cname=iframe2&seq=1'), data('iframe2', 3, 2, 'lost'), map { data('iframe2', $_, $_) } 3 .. 4);
get('/icomet-admin/close?cname=iframe2');
my $line;
1 while ($line = $iframe->line) =~ /"noop"/;
same($line, '<script>parent.icomet_cb(' . data('iframe2', 5, '', 'close') . ");</script>\n", 'close');
same($iframe->end, 'complete', 'end');



=== TEST 3: content cannot end the script
--- play
my $iframe = subscribe('/icomet/iframe?cname=iframe3&seq=1');
push_ok('iframe3', "</script><!--\xe2\x80\xa8\xe2\x80\xa9");
my $line;
1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
same($line, qq(<script>parent.icomet_cb({"type":"data","cname":"iframe3","seq":1,"content":"\\u003c/script>\\u003c!--\\u2028\\u2029"});</script>\n), 'push');
post('/icomet-admin/pub', 'cname=iframe3&content=' . encode('</script>'));
same($iframe->line, qq(<script>parent.icomet_cb({"type":"data","cname":"iframe3","seq":2,"content":"\\u003c/script>"});</script>\n), 'pub');



=== TEST 4: nor can the channel's name
--- play
my $iframe = subscribe('/icomet/iframe?seq=1&cname=' . encode('</script>'));
push_ok('</script>', 'x');
my $line;
1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
same($line, qq(<script>parent.icomet_cb({"type":"data","cname":"\\u003c/script>","seq":1,"content":"x"});</script>\n), 'body');



=== TEST 5: cb is ignored
--- play
push_ok('iframe5', 'x');
my $iframe = subscribe('/icomet/iframe?cname=iframe5&seq=1&cb=evil');
my $line;
1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
same($line, '<script>parent.icomet_cb(' . data('iframe5', 1, 'x') . ");</script>\n", 'body');



=== TEST 6: 401 comes in a page, which then ends
--- hub: auth token;
--- play
my $answer = http('GET', '/icomet/iframe?cname=iframe6&seq=1');
same($answer->{status}, 200, 'status');
same($answer->header('Content-Type'), 'text/html; charset=utf-8', 'Content-Type');
matches($answer->{text}, qr/\n<script>parent\.icomet_cb\(\{"type":"401","cname":"iframe6","seq":0,"content":"Token error"\}\);<\/script>\n\z/, 'body');
