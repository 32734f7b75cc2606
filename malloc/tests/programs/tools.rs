//! Interpreters, databases and tools with the library preloaded.

use crate::support::{Job, has, is_long, source, text, word};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Python's own small objects come from its arenas; `PYTHONMALLOC=malloc` has all come from ours.
fn python(allocator: &str) -> Job {
    let size = if is_long() { "400000" } else { "30000" };
    let job = Job::new(["python3".to_owned(), word(source("objects.py")), size.to_owned()]);
    job.variable("PYTHONHASHSEED", "1").variable("PYTHONMALLOC", allocator)
}

#[test]
fn python_with_objects_threads_and_processes() {
    if has("python3") {
        python("default").agrees();
        python("malloc").agrees();
    }
}

/// Those that pass without the library.
#[test]
fn python_passes_its_own_tests() {
    if !has("python3") {
        return;
    }
    let mut names = vec!["test_json", "test_dict", "test_list", "test_set"];
    if is_long() {
        names.extend(["test_bytes", "test_str", "test_io", "test_memoryio", "test_array"]);
        names.extend(["test_threading", "test_queue", "test_pickle", "test_re", "test_zlib"]);
        names.extend(["test_sqlite3", "test_ctypes", "test_subprocess", "test_mmap", "test_fork1"]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    for name in names {
        let job = Job::new(["python3", "-m", "test", name]).variable("PYTHONMALLOC", "malloc");
        if job.run(folder.path(), false).status.success() {
            job.succeeds(folder.path());
        } else {
            eprintln!("skipped Python's {name}: it does not pass, or is not installed");
        }
    }
}

#[test]
fn the_library_is_loaded_into_programs() {
    if has("python3") {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "print(open('/proc/self/maps').read())";
        let said = text(&Job::new(["python3", "-c", script]).succeeds(folder.path()).stdout);
        assert!(said.contains("libstillheap_malloc.so"), "{said}");
    }
}

#[test]
fn sqlite_builds_and_asks() {
    if !has("sqlite3") {
        return;
    }
    let rows = if is_long() { 1_000_000 } else { 30_000 };
    let script = format!(
        "PRAGMA cache_size = 20000;
         CREATE TABLE place (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, weight REAL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
           INSERT INTO place SELECT i, printf('%x-%d', i * 2654435761 % 4294967296, i),
             i * 7919 % 97, (i * 31 % 1000) / 8.0 FROM n;
         CREATE INDEX by_name ON place (name);
         CREATE INDEX by_kind ON place (kind, weight);
         UPDATE place SET name = upper(name) || hex(id) WHERE kind % 5 = 0;
         DELETE FROM place WHERE kind = 13;
         SELECT kind, count(*), round(sum(weight), 2), min(name), max(name) FROM place
           GROUP BY kind ORDER BY kind;
         SELECT a.name, b.name FROM place a JOIN place b ON b.id = a.id + 1
           WHERE a.kind = 3 ORDER BY a.name LIMIT 50;
         SELECT length(group_concat(name, ',')) FROM (SELECT name FROM place ORDER BY name);
         SELECT count(*) FROM (SELECT DISTINCT substr(name, 1, 3) FROM place);
         VACUUM; PRAGMA integrity_check;\n"
    );
    Job::new(["sqlite3", "-batch", "test.db"]).input(script.clone()).agrees();
    Job::new(["sqlite3", "-batch", ":memory:"]).input(script).agrees();
}

#[test]
fn git_keeps_a_history() {
    if !has("git") {
        return;
    }
    let files = if is_long() { 5_000 } else { 400 };
    let script = format!(
        "set -e
         git init -q -b main one && cd one
         git config gc.auto 0 && git config pack.threads 4 && git config maintenance.auto false
         mkdir a b c
         for round in 1 2 3; do
           awk -v r=$round 'BEGIN {{ for (i = 0; i < {files}; i++) {{
             f = substr(\"abc\", i % 3 + 1, 1) \"/\" i \".txt\";
             for (j = 0; j < 40; j++) print i, j, (j == i % 40 ? r : 0), i * j * 7919 % 10007 > f;
             close(f) }} }}'
           git add -A && git commit -q -m \"round $round\"
         done
         git checkout -q -b side HEAD~1 && echo side > side.txt && git add -A
         git commit -q -m side && git checkout -q main && git merge -q -m merged side
         git gc -q --aggressive --prune=now
         git log --oneline --stat --graph | cat
         git diff HEAD~2 --shortstat; git blame a/0.txt | tail -3; git grep -c ' 39 ' | sort | head
         cd .. && git clone -q --no-local one two && cd two && git fsck --full && git rev-parse HEAD
         git ls-tree -r HEAD | cksum; git archive HEAD | cksum"
    );
    let mut job = Job::new(["/bin/sh".to_owned(), "-c".to_owned(), script]);
    for role in ["AUTHOR", "COMMITTER"] {
        job = job.variable(&format!("GIT_{role}_NAME"), "Somebody");
        job = job.variable(&format!("GIT_{role}_EMAIL"), "somebody@example.org");
        job = job.variable(&format!("GIT_{role}_DATE"), "2020-02-02T02:02:02Z");
    }
    job.variable("GIT_CONFIG_GLOBAL", "/dev/null").variable("GIT_CONFIG_NOSYSTEM", "1").agrees();
}

/// Lines that look random and are not.
fn lines(folder: &Path, count: u32) -> String {
    let mut text = String::new();
    for line in 0..count {
        let mixed = line.wrapping_mul(2_654_435_761);
        writeln!(text, "{mixed:08x} {} word{}", line % 1000, mixed % 977).expect("room");
    }
    let path = folder.join("lines.txt");
    fs::write(&path, text).expect("a file");
    word(path)
}

#[test]
fn text_tools_sort_count_and_pack() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = lines(folder.path(), if is_long() { 8_000_000 } else { 200_000 });
    let perl = "my %h; while (<>) { my @f = split; push @{$h{$f[2]}}, $f[0]; } \
                print \"$_ \", scalar(@{$h{$_}}), \" \", (sort @{$h{$_}})[0], \"\\n\" \
                for sort keys %h;";
    let awk = "{ n[$3]++; s[$3] = s[$3] substr($1, 1, 1) } \
               END { for (k in n) print k, n[k], length(s[k]) | \"sort\" }";
    let node = "const f = require('fs').readFileSync(process.argv[1], 'latin1').split('\\n'); \
                const m = new Map(); for (const l of f) { const k = l.split(' ')[2]; \
                m.set(k, (m.get(k) || 0) + 1); } console.log([...m].sort().join(' '), \
                require('zlib').deflateSync(f.join('')).length)";
    for words in [
        vec!["perl", "-e", perl, &file],
        vec!["awk", awk, &file],
        vec!["node", "-e", node, &file],
        vec!["sort", "-S", "30M", "-k2n", &file],
        vec!["sort", "-S", "2M", "--parallel=4", "-r", &file],
        vec!["jq", "-nR", "[inputs | split(\" \") | {(.[2]): .[0]}] | add | length", &file],
        vec!["xz", "-T2", "-0", "-c", &file],
        vec!["gzip", "-n", "-9", "-c", &file],
        vec!["bash", "-c", "declare -A a; for i in {1..3000}; do a[$i]=${i}x; done; echo ${a[@]}"],
    ] {
        if has(words[0]) {
            Job::new(words).agrees();
        }
    }
}
