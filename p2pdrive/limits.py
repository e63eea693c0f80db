"""Every bound, with its unit and its reason."""

KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB

# --- model ---------------------------------------------------------------------------------------
#: Bytes of one path's UTF-8. Linux's PATH_MAX, the smallest of the large platforms.
PATH_BYTES_MAX = 4096
#: Names in one path. Each directory above one is looked up and may be noted, so that a MiB of paths of 2048
#: names becomes gigabytes; people's folders are nowhere near as deep as this.
PATH_NAMES_MAX = 128
#: Bytes of one name's UTF-8. NAME_MAX on Linux, macOS and NTFS (there: 255 UTF-16 units).
NAME_BYTES_MAX = 255
#: Bytes of a device's or drive's display name.
LABEL_BYTES_MAX = 64
#: Bytes of a symlink's target. Linux's PATH_MAX.
TARGET_BYTES_MAX = 4096
#: Actors in one version vector: tens of members with some incarnations each.
VECTOR_ACTORS_MAX = 4096
#: Bytes of one encoded record: two paths, a target, and a full vector fit.
RECORD_BYTES_MAX = 256 * KIB
#: Records in one batch: some 100 KiB, large enough that a signature (19 us) costs nothing a record.
BATCH_RECORDS_MAX = 512
#: Bytes of one encoded batch; a run of records is cut before it grows beyond this.
BATCH_BYTES_MAX = MIB
#: Blocks in one manifest: a file of 1 TiB at the average block; its manifest is 144 MiB.
MANIFEST_BLOCKS_MAX = 4 * MIB
#: Devices that one invite may admit, and seconds that it may be good for (ten years), unless for ever.
INVITE_USES_MAX = 1_000_000
INVITE_SECONDS_MAX = 3650 * 24 * 3600
#: Bytes of a file that is synced: its manifest must have room for its blocks.
FILE_BYTES_MAX = TIB
#: Milliseconds that a peer's clock may lead ours before we stop following it (one day).
CLOCK_LEAD_MS_MAX = 24 * 3600 * 1000

# --- index ---------------------------------------------------------------------------------------
#: KiB of a drive's index that the one who writes, and each who reads, may hold in memory.
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 8 * 1024
#: Connections kept for the next reader of a drive's index.
READERS_IDLE_MAX = 4
#: Paths named in one statement.
NAMED_AT_ONCE = 512
#: Bytes that are read of what says a drive's format: more than any format's name has.
FORMAT_BYTES_MAX = 64

#: Bytes that one transaction may add to the disk: some 250 pages. With fewer free, the reserve is given up.
COMMIT_BYTES = MIB
#: Bytes that are set aside for the index, or this part of a small disk: enough to say what of history yields.
RESERVE_BYTES_MAX = 8 * MIB
RESERVE_PART = 64

# --- blocks --------------------------------------------------------------------------------------
#: Bytes of the largest block that any drive's chunking may choose; a frame carries at least one.
BLOCK_BYTES_MAX = MIB
#: Bytes of the smallest block that a drive may choose, but for the last of a file: bounds a file's blocks.
BLOCK_BYTES_MIN = 4 * KIB
#: Bytes of one pack file: small enough to rewrite, large enough to be few.
PACK_BYTES_MAX = 64 * MIB
#: Bytes of the largest file whose second and later versions go into packs when they are recorded here, so
#: that a person's own overwritten edits have history.
OWNED_FILE_BYTES_MAX = 4 * MIB
#: Bytes of a displaced version that are copied into a pack: a file of its own takes a block of the disk and
#: an inode. Of a larger one no more than this part is copied; else the file itself is kept, by a rename.
PACKED_VERSION_BYTES_MAX = 64 * KIB
PACKED_VERSION_PART_MAX = 4
#: Bytes written to a pack at once: large enough that the call costs nothing, small enough to hold twice.
APPEND_BYTES = 4 * MIB
#: Blocks in packs that the index does not name yet, before ``add`` flushes by itself: some 30 MB of memory.
UNINDEXED_BLOCKS_MAX = 64 * 1024
#: Pack files kept open for reading; a restored folder reads from a few packs at a time.
PACKS_OPEN_MAX = 16
#: Borrowed ranges tried for one block: a block of zeros may be in a million places, and one is enough.
BORROWED_TRIES_MAX = 16

# --- folder --------------------------------------------------------------------------------------
#: Temporaries that are made durable one by one; more share a sync of the whole file system, which also
#: waits for what other programs have written.
SYNC_EACH_MAX = 4
#: Bytes of the ignore file that are read; a larger one is reported, and not followed.
IGNORE_BYTES_MAX = MIB
#: Bytes of one ignore rule: a path has no more, and to make a rule ready takes time for each of them.
IGNORE_LINE_BYTES_MAX = 4 * KIB
#: Wildcards between two slashes of an ignore rule: matching takes time to the power of their number.
IGNORE_WILDCARDS_MAX = 4
#: '**' in one rule, and rules: what a member writes must not hold up the others' machines.
IGNORE_DEPTHS_MAX = 2
IGNORE_LINES_MAX = 1000
#: Directories whose verdict a drive's ignore rules remember.
IGNORE_MEMORY_MAX = 8192
#: Files of a whole home folder that are counted at most before a person is asked whether they mean it, and
#: the seconds that this takes at most: they wait for the question.
SURVEY_FILES_MAX = 200_000
SURVEY_SECONDS_MAX = 2.0
#: Seconds without a further event after which changes are handed out, and seconds that they wait at most:
#: what one program does at once is looked at together, and nobody notices the wait.
WATCH_QUIET_SECONDS = 0.003
WATCH_GATHER_SECONDS = 0.03
#: Seconds between two looks whether a quiet root is still in its place.
WATCH_ROOT_SECONDS = 5.0
#: Seconds between two looks through what cannot be watched: after something changed there, and at most. But
#: it takes no more than one part in so many of a core's time.
WATCH_POLL_SECONDS_MIN = 5.0
WATCH_POLL_SECONDS = 30.0
WATCH_POLL_SHARE = 50

# --- wire ----------------------------------------------------------------------------------------
#: Bytes of one sealed frame: a block bundle, its header and the seal.
FRAME_BYTES_MAX = BLOCK_BYTES_MAX + 128 * KIB
#: Bytes of payload that a bundle of blocks or batches aims at; also the piece size of bulk work.
BUNDLE_BYTES = MIB
#: Frames of at least this many bytes are worth a thread hop (some 50 us).
OFFLOAD_BYTES_MIN = 256 * KIB
#: Requests under way on one link, each way.
REQUESTS_OUTSTANDING_MAX = 64
#: Blocks asked for in one request: 64 KiB of hashes.
REQUEST_BLOCKS_MAX = 2048
#: Bytes asked for in one request of blocks.
REQUEST_BYTES_MAX = 8 * MIB
#: Drives named on one link.
DRIVES_MAX = 1024
#: Addresses that one device may announce.
ADDRESSES_MAX = 32
#: Devices in one message about addresses.
DEVICES_MAX = 1024
#: Actors in one frontier; each takes some 60 bytes.
FRONTIER_ACTORS_MAX = VECTOR_ACTORS_MAX
#: Bytes queued for a peer that does not read before the link is given up.
SEND_QUEUE_BYTES_MAX = 8 * MIB
#: Seconds without a word before a ping is sent, and before a silent link is given up.
KEEPALIVE_SECONDS = 15
LINK_DEAD_SECONDS = 45
#: The same where the peer has opened another connection, and so may have forgotten this one.
PROBE_SECONDS = 3
#: Seconds within which a peer that was asked must answer something: a slow link needs some for one frame.
ANSWER_SECONDS = 120
#: Seconds that a handshake may take; a stranger who stalls is cut.
HANDSHAKE_SECONDS = 10
#: Bytes of one ``host:port`` that a node announces: mostly numbers, long host names are left out.
ANNOUNCED_ADDRESS_BYTES_MAX = 128
#: Addresses of one device that are passed on to others: so many that a full message fits in a frame.
RELAYED_ADDRESSES_MAX = 8
#: Bytes of a reason that one node gives another, for a person to read.
REASON_BYTES_MAX = 512
#: Bytes of a drive's first record: two labels, two keys and some numbers.
GENESIS_BYTES_MAX = KIB
#: Batches in one answer: a batch has at least a signature and three hashes, so more do not fit.
ANSWER_BATCHES_MAX = 8192
#: Manifests asked for in one request: 64 KiB of roots.
REQUEST_MANIFESTS_MAX = 2048
#: Bytes of payload in one frame; the header and the seal have the rest.
PAYLOAD_BYTES_MAX = BLOCK_BYTES_MAX
#: Bytes that a link reads at once while it does not yet know the length of the next frame.
READ_BYTES = 64 * KIB
#: Bytes that may wait in the kernel unsent (TCP_NOTSENT_LOWAT) before more are given to it, so that an urgent
#: message overtakes on a slow line; below a piece of bulk work, above what a fast line sends in a wake-up.
UNSENT_BYTES = 512 * KIB
#: Bytes of small messages that are sealed into one piece to send.
SEND_BATCH_BYTES = 64 * KIB
#: Bytes of received messages that wait for their handler before the link stops reading.
INBOX_BYTES_MAX = 2 * MIB
#: Seconds that an ending link waits for its last word to be heard, and for its handler to finish.
CLOSE_SECONDS = 2
#: Connections in their handshake at once; more are refused until some end.
HANDSHAKES_MAX = 64

# --- secure --------------------------------------------------------------------------------------
#: Characters of one address in an invite: the longest host name (253), a colon and a port.
ADDRESS_BYTES_MAX = 259
#: Characters of an invite's link: ADDRESSES_MAX of the longest addresses in base64, and the rest.
INVITE_TEXT_MAX = 16 * KIB

# --- net -----------------------------------------------------------------------------------------
#: Drive tags in an mDNS announcement (8 bytes each; TXT data should stay below 1,300 bytes).
DISCOVERY_DRIVES_MAX = 60
#: Seconds between two attempts to reach a peer, at first and at most.
DIAL_SECONDS_MIN = 0.5
DIAL_SECONDS_MAX = 60.0
#: Seconds for one attempt over all addresses of a peer.
DIAL_TIMEOUT_SECONDS = 10
#: Seconds until the next address is tried beside one that has not answered (RFC 8305, section 5).
DIAL_STAGGER_SECONDS = 0.25
#: Seconds that a connection must have lasted for the pauses to start over: ending at once is no success.
LINK_STABLE_SECONDS = 10
#: Characters of an address: a DNS name (253), brackets, a zone, a port.
ADDRESS_CHARACTERS_MAX = 300
#: Seconds between two looks at the interfaces of this machine; there is no portable event for it.
DISCOVERY_POLL_SECONDS = 10
#: Announcements of others remembered at once; a larger crowd pushes out the oldest.
DISCOVERY_INSTANCES_MAX = 256
#: Announcements being looked up at once; what comes on top is left out.
DISCOVERY_LOOKUPS_MAX = 32
#: Milliseconds that one such look-up may take.
DISCOVERY_LOOKUP_MS = 3000
#: Seconds that saying goodbye on the network may delay the end of the node.
DISCOVERY_STOP_SECONDS = 1.0

# --- engine --------------------------------------------------------------------------------------
#: Paths planned and shown together: they share one sync of the disk.
PLAN_PATHS_MAX = 512
#: Bytes of content in one such run of paths; a larger file is a run of its own.
PLAN_BYTES_MAX = 32 * MIB
#: Bytes of a drive's disk, or this part of a small one, that contents leave free: its index must be able to
#: say that a file does not fit.
DISK_RESERVE_BYTES = 16 * MIB
DISK_RESERVE_PART = 32
#: Free bytes of a drive's disk, and part of that disk, below which history yields to the folder.
LOW_BYTES_MAX = 1024 * MIB
LOW_PART = 20
#: Files of history that go in one transaction: a commit each would take minutes for small ones.
YIELDED_AT_ONCE = 64
#: Seconds between two looks at the room on a drive's disk.
ROOM_SECONDS = 5.0
#: Bytes asked for and not yet received from one peer, at least and at most: an average block, and a gigabit
#: link at 100 ms.
IN_FLIGHT_BYTES_MIN = 256 * KIB
IN_FLIGHT_BYTES_MAX = 16 * MIB
#: Seconds that answers may wait for those before them: long enough to keep a line busy while what came is put
#: away, short enough for an edit, whose announcement, record and blocks each wait for that long.
LINE_SECONDS = 0.3
#: Requests that share what may be under way, so that answers come in pieces; and requests of blocks under way
#: at one peer by one run of paths, so that a run alone can use it all.
REQUESTS_IN_WINDOW = 4
REQUESTS_PER_RUN = 5
#: How many times what may be under way others may ask for before one who waits is next.
PASSED_WINDOWS_MAX = 8
#: Seconds until a path with a problem is tried again, at first and at most.
RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 300.0
#: Seconds at most until a file that a program holds open is tried again, and seconds until that is a problem:
#: what is saved is closed soon, and who closes a file looks at it.
HELD_RETRY_SECONDS_MAX = 4.0
HELD_PATIENCE_SECONDS = 5.0
#: Seconds for which a folder that is being adopted waits for ignore rules that cannot be shown, though others
#: are there who may have them: a disk that is full for a moment is no reason to publish what they hide.
RULES_PATIENCE_SECONDS = 60.0
#: Seconds for which a deletion waits before others are told: a path that is back by then was edited, and a
#: folder that is going has lost more files by then. A person who deletes one file notices no more than this.
DELETION_MOMENT_SECONDS = 0.4
#: Deletions within so many seconds that count as a burst, and seconds for which a burst must have paused.
#: ``rm -rf`` on a slow network disk deletes some a second.
BURST_DELETIONS_MIN = 8
BURST_WINDOW_SECONDS = 10.0
BURST_REST_SECONDS = 4.0
#: Seconds for which a few deletions in a row, each soon after the one before, hold up the first at most.
SLOW_DELETIONS_SECONDS = 30.0
#: Deletions that wait in memory; more are found again by a look at the whole folder. Some 20 MB.
DELETIONS_HELD_MAX = 100_000
#: Seconds before a folder went away in which a deletion may have been of its going.
DELETED_LATELY_SECONDS = 60.0
#: Seconds that the versions of one file keep from each other while it keeps changing, at first and at most:
#: each is read, kept, sent, and written whole at the others.
DISTANCE_SECONDS_MIN = 1.0
DISTANCE_SECONDS_MAX = 60.0
#: Bytes of a file for which its versions keep a second: reading takes some percent of the time then.
DISTANCE_BYTES_PER_SECOND = 64 * MIB
#: Seconds that a file may be open for writing before it is read all the same: a log is never closed.
OPEN_PATIENCE_SECONDS = 60.0
#: Seconds without a write, of a file that is open and is written in place: some programs write in bursts.
OPEN_QUIET_SECONDS = 10.0
#: The same of a file that is new, or was emptied or shortened: what is in it is but the beginning. Programs
#: that save by emptying the file first, and think before they write, think less long.
EMPTIED_PATIENCE_SECONDS = 300.0
#: Seconds after which an open file that never pauses is read, at first and at most.
RESTLESS_SECONDS_MIN = 600.0
RESTLESS_SECONDS_MAX = 3600.0
#: Seconds until an open file is looked at again, at first and at most; where there is a watcher, it tells.
OPEN_LOOK_SECONDS_MIN = 0.5
OPEN_LOOK_SECONDS_MAX = 15.0
#: Seconds that a file may wait to be read before people are told, and all else counts as in sync.
BUSY_SECONDS = 10.0
#: Files whose habits are remembered (some 300 bytes each), and files that may wait at once.
HABITS_MAX = 10_000
#: Seconds between two looks whether a drive's state is still the one that was opened: some stats each.
STATE_LOOK_SECONDS = 2.0
#: Seconds between two whole scans while the watcher works.
RESCAN_SECONDS = 3600
#: Where nobody can tell whether a program has a file open, those smaller than this are hashed at once when
#: they change; larger ones wait until they are quiet.
EAGER_FILE_BYTES_MAX = 16 * MIB
#: Bytes of a file that is read apart from all deciding: below it that takes some 50 ms.
LONG_READ_BYTES = 16 * MIB
#: Seconds without a write after which a larger file counts as quiet.
QUIET_SECONDS = 0.5

# --- node, api, cli ------------------------------------------------------------------------------
#: Bytes of the path of a Unix socket: sockaddr_un has 104 on macOS, 108 on Linux, the final NUL included.
SOCKET_PATH_BYTES_MAX = 103
#: Seconds between two looks at the status for a stream of it, and between two words on a quiet stream.
STREAM_SECONDS = 0.25
STREAM_QUIET_SECONDS = 15.0
#: Seconds that requests under way get to end when the node stops.
API_GRACE_SECONDS = 0.5
#: Seconds that a command waits for the node's answer; making a large folder a drive takes far less.
API_TIMEOUT_SECONDS = 60.0
#: Seconds between two questions of `wait`, at first and at most, and how long the answer must be yes.
WAIT_POLL_SECONDS_MIN = 0.05
WAIT_POLL_SECONDS_MAX = 0.25
WAIT_STEADY_SECONDS = 0.5
#: Seconds between two redraws of live progress, and between two log lines of it.
REDRAW_SECONDS = 0.25
PROGRESS_LOG_SECONDS = 10.0
#: Seconds between two looks at what to log: a node at rest should cost next to nothing.
PROGRESS_LOOK_SECONDS = 1.0
#: Paths looked at in one step of a scan: some 100 ms in a thread.
SCAN_STEP_PATHS = 5000
#: Missing paths held by a scan, so that renames are met under their new names first; some 10 MB.
SCAN_MISSING_MAX = 100_000
#: Runs of paths fetched and shown at once: while one waits for the disk, others use the wire. QUICK ones are
#: for what is small, BRIEF ones for what the line carries in a second or two, FRESH ones for the newest large
#: files (a second begins only for what is newer still), STEADY ones for all the rest.
QUICK_RUNS = 2
BRIEF_RUNS = 2
FRESH_RUNS = 2
STEADY_RUNS = 3
RUNS_AT_ONCE = QUICK_RUNS + BRIEF_RUNS + FRESH_RUNS + STEADY_RUNS
#: Bytes of a file that is small: it goes before larger ones, and takes 0.1 s of a line of 2 MB/s.
SMALL_FILE_BYTES_MAX = 256 * KIB
#: Files shown lately that are remembered (some 300 bytes each), to pass over what the watcher says of them.
SHOWN_REMEMBERED_MAX = 50_000

# --- node ----------------------------------------------------------------------------------------
#: Seconds until a connection to a device that shares no drive with us is ended.
STRANGER_SECONDS = 20
#: Links at once; beyond it nobody is let in.
LINKS_MAX = 256
#: Seconds between two looks at who is to be connected to and what is to be passed on.
CONNECTIONS_SECONDS = 0.1
#: Seconds by which the time when a device was last seen may be behind: each one noted is a file written.
SEEN_SECONDS = 60
#: Seconds until a drive that failed is tried again, and between looks whether its folder is back.
DRIVE_RETRY_SECONDS = 30
ROOT_POLL_SECONDS = 2
#: Seconds between two notes in the home of how much of others' logs a drive holds: each is a file written.
MARKS_SECONDS = 60
#: Seconds that `join` waits for an answer before it goes on in the background.
JOIN_WAIT_SECONDS = 15
#: Seconds between two rounds of asking those who may let us in.
JOIN_RETRY_SECONDS = 1
#: The longest pause before a member over whose link other drives go is asked again to let us in.
JOIN_RETRY_SECONDS_MAX = 30
#: Threads for blocking work at once: more of them only fight over the interpreter. One may read a large file,
#: one sync it; the third is for what is small.
OFFLOAD_THREADS = 3
#: New objects after which the garbage collector looks at the young ones: we make many that die at once.
COLLECT_AFTER_OBJECTS = 20_000
