"""S3 objects through boto3: what `storage` needs and no more.

Paths are `s3://bucket/key`. The endpoint and the credentials come from the environment (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, ...) or the machine's role, as boto3 finds them. Entries are `(path, size in bytes,
ETag)`.

A client cannot be pickled or shared with a forked child, so each process makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from pipeline.errors import StorageError

Entry = tuple[str, int, str]
GONE = {"404", "NoSuchKey", "NotFound"}
TAKEN = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
DELETE_AT_ONCE = 1000  # the most keys that one DeleteObjects request takes


def client() -> Any:
    """This process's client for the endpoint that the environment names now."""
    return _client(os.getpid(), os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ACCESS_KEY_ID"))


@lru_cache(maxsize=4)
def _client(pid: int, endpoint: str | None, key: str | None) -> Any:
    # an object store that answers "slow down" is the normal case with many workers: wait, do not fail
    return boto3.session.Session().client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))


def split(path: str) -> tuple[str, str]:
    """`s3://bucket/a/b` -> `("bucket", "a/b")`."""
    bucket, _, key = path.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"{path}: no bucket. Expected s3://bucket/key.")
    return bucket, key


@contextmanager
def letters(path: str, action: str) -> Iterator[None]:
    """Turn what boto3 raises into a `StorageError` that says what to do."""
    try:
        yield
    except NoCredentialsError:
        raise StorageError(
            f"{path}: could not {action}: no AWS credentials found. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached."
        ) from None
    except ClientError as error:
        raise StorageError(f"{path}: could not {action}: {_advice(error)}") from error
    except (BotoCoreError, Boto3Error) as error:
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "the AWS default")
        raise StorageError(f"{path}: could not {action}: {error} (endpoint: {endpoint})") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _advice(error: ClientError) -> str:
    hints = {
        "NoSuchBucket": "there is no such bucket. Check its name and AWS_ENDPOINT_URL.",
        "AccessDenied": "access denied. Check the credentials and the bucket's policy.",
        "403": "access denied. Check the credentials and the bucket's policy.",
        "InvalidAccessKeyId": "the access key is not known. Check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.",
    }
    return hints.get(_code(error), str(error))


def head(path: str) -> Entry | None:
    """The object's entry, or None if there is none."""
    bucket, key = split(path)
    if not key:
        return None
    with letters(path, "look at it"):
        try:
            found = client().head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in GONE:
                return None
            raise
    return path, found["ContentLength"], found["ETag"].strip('"')


def listing(prefix: str) -> Iterator[Entry]:
    """Every object whose path begins with `prefix`, in the order of the keys (bytes)."""
    bucket, key = split(prefix)
    with letters(prefix, "list it"):
        for page in client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):  # the empty object that consoles write for a "folder"
                    yield f"s3://{bucket}/{found['Key']}", found["Size"], found["ETag"].strip('"')


def download(path: str, local: str) -> None:
    bucket, key = split(path)
    with letters(path, "download it"):
        client().download_file(bucket, key, local)


def read_range(path: str, start: int, end: int) -> bytes:
    """Bytes start .. end - 1, in one request."""
    bucket, key = split(path)
    with letters(path, "read it"):
        return client().get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")["Body"].read()


def upload(local: str, path: str) -> None:
    """One upload; the object appears whole or not at all."""
    bucket, key = split(path)
    with letters(path, "upload it"):
        client().upload_file(local, bucket, key)


def put(path: str, data: bytes, *, if_absent: bool = False) -> bool:
    """Write a small object. With `if_absent`: False, and nothing is written, where there is one already."""
    bucket, key = split(path)
    condition = {"IfNoneMatch": "*"} if if_absent else {}
    with letters(path, "write it"):
        try:
            client().put_object(Bucket=bucket, Key=key, Body=data, **condition)
        except ClientError as error:
            if if_absent and _code(error) in TAKEN:
                return False
            raise
    return True


def delete(paths: list[str]) -> None:
    """Delete objects of one bucket; those that are not there are no error."""
    for start in range(0, len(paths), DELETE_AT_ONCE):
        some = [split(path) for path in paths[start : start + DELETE_AT_ONCE]]
        with letters(paths[start], "delete it"):
            keys = [{"Key": key} for _, key in some]
            answer = client().delete_objects(Bucket=some[0][0], Delete={"Objects": keys, "Quiet": True})
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise StorageError(f"s3://{some[0][0]}/{first['Key']}: could not delete it: {first['Message']}")
