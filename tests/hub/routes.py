"""What the Hub and its CDN answer."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.hub.bodies import Answer, answer_of
from tests.hub.handler import Handler
from tests.hub.listing import EXPANDABLE, Query, expanded, item_of, page_of
from tests.hub.repositories import Repo, RepoFile

_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|paths-info|auth-check)(?:/(.+))?)?")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_CACHED = re.compile(r"/api/resolve-cache/models/([^/]+/[^/]+)/([^/]+)/(.+)")
_CDN = re.compile(r"/repos/([^/]+/[^/]+)/([^/]+)/(.+)")


class CdnHandler(Handler):
    """Content at signed addresses; it knows neither tokens nor error codes."""

    origin = "cdn"

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not self.hub.signer.is_good(self.path):
            return self.error(403, "", "AccessDenied")
        match = _CDN.fullmatch(path)
        repo = self.hub.repo_at(match[1], match[2]) if match else None
        if match is None or repo is None or match[3] not in repo.files:
            return self.error(403, "", "AccessDenied")
        file = repo.files[match[3]]
        answer = answer_of(file, self.headers.get("Range"), self.hub.several_ranges, self.fault)
        answer.headers["ETag"] = f'"{file.sha256}"'
        return self.send(answer)


class HubHandler(Handler):
    """The API, and where files are."""

    origin = "hub"

    def answer(self) -> None:
        split = urlsplit(self.path)
        path, query = split.path, parse_qs(split.query, keep_blank_values=True)
        if path == "/api/models":
            return self._list(query)
        if match := _CACHED.fullmatch(path):
            return self._resolve(match[1], match[2], unquote(match[3]), direct=True)
        for route in (_API, _RESOLVE):
            if (match := route.fullmatch(path)) and match[1] in self.hub.renamed:
                location = self.path.replace(match[1], self.hub.renamed[match[1]], 1)
                return self.send(Answer(307, {"Location": location}))
        if match := _API.fullmatch(path):
            return self._api(match[1], match[2], match[3], query)
        if match := _RESOLVE.fullmatch(path):
            return self._resolve(match[1], unquote(match[2]), unquote(match[3]), direct=not self.hub.resolve_cache)
        return self.error(404, "", "no such route")

    def _list(self, query: Query) -> None:
        if unknown := set(expanded(query)) - EXPANDABLE:
            return self.error(400, "", f"expand: {', '.join(sorted(unknown))} cannot be expanded")
        hidden = frozenset() if self._authenticated() else self.hub.private
        repos, following = page_of((r for r in self.hub.repos() if r.id not in hidden), query, self.hub.page_size)
        headers = {}
        if following is not None:
            link = urlencode({**query, "cursor": [str(following)]}, doseq=True)
            headers["Link"] = f'<{self.hub.link_base or self.hub.endpoint}/api/models?{link}>; rel="next"'
        return self.json([item_of(repo, query, repo.id in self.hub.gated) for repo in repos], headers)

    def _api(self, repo_id: str, verb: str | None, rest: str | None, query: Query) -> None:
        repo = self._visible(repo_id)
        if repo is None:
            return None
        if verb == "auth-check":
            return self.json({}) if self._may_download(repo_id) else self._gated()
        revision, _, below = (rest or "main").partition("/")
        repo = self._at(repo, unquote(revision))
        if repo is None:
            return None
        if verb == "tree":
            prefix = f"{unquote(below)}/" if below else ""
            return self.json([file.tree_entry() for file in repo.files.values() if file.path.startswith(prefix)])
        if verb == "paths-info":
            wanted = parse_qs(self.body.decode()).get("paths", []) or json.loads(self.body or b"{}").get("paths", [])
            return self.json([repo.files[path].tree_entry() for path in wanted if path in repo.files])
        wanted = expanded(query)
        if set(wanted) - EXPANDABLE or (wanted and "blobs" in query):
            return self.error(400, "", "expand: unknown, or together with blobs")
        info = repo.info(blobs="blobs" in query, gated=repo_id in self.hub.gated)
        return self.json({key: info[key] for key in ("_id", "id", *wanted)} if wanted else info)

    def _visible(self, repo_id: str) -> Repo | None:
        repo = self.hub.repo(repo_id)
        if repo is None or (repo_id in self.hub.private and not self._authenticated()):
            # The Hub does not tell missing from private to those it does not know.
            self.error(404 if self._authenticated() else 401, "RepoNotFound", "Repository not found")
            return None
        return repo

    def _at(self, repo: Repo, revision: str) -> Repo | None:
        found = repo if revision in ("main", repo.sha) else self.hub.repo_at(repo.id, revision)
        if found is None:
            self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _resolve(self, repo_id: str, revision: str, path: str, *, direct: bool) -> None:
        repo = self._visible(repo_id)
        if repo is None:
            return None
        if not self._may_download(repo_id):
            return self._gated()
        repo = self._at(repo, revision)
        if repo is None:
            return None
        file = repo.files.get(path)
        if file is None:
            return self.error(404, "EntryNotFound", "Entry not found")
        return self._send_file(repo, file, direct)

    def _send_file(self, repo: Repo, file: RepoFile, direct: bool) -> None:
        headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{file.etag}"'}
        place = f"{quote(repo.id)}/{repo.sha}/{quote(file.path)}"
        if file.is_lfs:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"'}
            if self.hub.cdn:
                location = self.hub.signer.sign(f"/repos/{place}", self.hub.signature_seconds)
                return self.send(Answer(302, headers | {"Location": self.hub.cdn_endpoint + location}))
        elif not direct:
            return self.send(Answer(307, headers | {"Location": f"/api/resolve-cache/models/{place}?etag=x"}))
        answer = answer_of(file, self.headers.get("Range"), self.hub.several_ranges, self.fault)
        answer.headers |= headers
        return self.send(answer)

    def _authenticated(self) -> bool:
        return self.hub.token is not None and self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _may_download(self, repo_id: str) -> bool:
        return repo_id not in self.hub.gated or self._authenticated()

    def _gated(self) -> None:
        self.error(403 if self.headers.get("Authorization") else 401, "GatedRepo", "Access to model is restricted.")
