"""The fewest L3 domains of a cell that take a guest cell, with no more cores broken than must be.

**The problem.** An L3 domain is the cores that share one L3 cache. What a domain *offers* is whole
cores, which are taken entirely, and loose threads, of which any number is taken. Of the domains, so
few as can be are to be chosen that their offers *come to* the threads wanted: are at least so many;
and where no core is broken (``picking.broken``), some of their whole cores and loose threads are
exactly so many. With whole cores of one size n that is two sums: enough threads, and w mod n loose
ones for what is left over beside full cores, of w threads wanted.

**So many domains as have enough threads** are tried first, then one more and so on: of k domains
the k largest have the most threads, so fewer than these need never do. In general it is a knapsack
of two dimensions. But most machines have cores of one or two threads, and then what can still be
missing is one loose thread (w is odd and n is 2). Of the domains that have one, any will do beside
the k - 1 largest others; so to look at the k - 1 largest, by threads and by whole cores, with each
other domain in turn is exact. That is case 1.

**For larger cores, and cores that differ**, this may miss a choice. Then the sums of all choices
are worked out, each set of sums being the bits of one number: bit s of item k is set where k
domains come to s. Adding a core of size c is a shift by c, any part of m loose threads log m
shifts (Bellman's knapsack). With d domains, c cores and w threads: d × k × (c + log w) operations
on numbers of w bits; 256 domains are the most, which bounds that to a second. That is case 2.

An isolated emulator thread may take a lone thread that `require` forbids to vCPUs. It adds one to
what a choice has, if any of its domains has one (in case 2, each such domain is tried in turn).

Cases, by number where they are below:

1. The largest, and one more.
2. Sums of all choices, where case 1 finds none and cores are larger, or differ.
3. `isolate` takes one thread of each core, so cores are counted for threads, and none comes to
   anything exactly; cores of one thread break none and are taken first:

   a. there are enough of them, and they are all that is offered;
   b. there are not, so that all of them must be taken, and domains of others for what is missing.

Of equally few domains that choice is the best which has the most threads on whole cores, then the
one that has the fewest to spare. That is only a preference, and among those of case 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from operator import attrgetter, lshift, rshift
from typing import NamedTuple

from mdsvc.fitting.cores import Cores, Loose, lowest, the_only
from mdsvc.fitting.picking import broken
from mdsvc.override import override
from mdsvc.policy.flavor import ThreadPolicy


def with_free(domains: Sequence[tuple[int, ...]], free: int, split: int) -> list[Cores]:
    """The domains of these cores that have free pCPUs, in an order that relabelling does not
    change: the fullest first, and only among those that are alike by CPU number.
    """
    every = (Cores.among(cores, free & sum(cores), split & sum(cores)) for cores in domains)
    by_number = sorted((d for d in every if d.free), key=lambda d: lowest(d.free_mask))
    return sorted(by_number, key=attrgetter("kind"))


def joined(domains: Sequence[Cores]) -> Cores:
    """The domains as one. Of cores that are alike, those of an earlier domain come first."""
    if len(domains) == 1:
        return domains[0]
    return _Joined(
        masks=tuple(core for d in domains for core in d.masks),
        free_mask=sum(d.free_mask for d in domains),
        free=sum(d.free for d in domains),
        whole_cores=sum(d.whole_cores for d in domains),
        core_size=the_only([core.bit_count() for d in domains for core in d.whole] or [1]),
        whole_threads=sum(d.whole_threads for d in domains),
        loose_threads=sum(d.loose_threads for d in domains),
        paired_threads=sum(d.paired_threads for d in domains),
        isolated=sum(d.isolated for d in domains),
        split_mask=sum(d.split_mask for d in domains),
        domains=tuple(domains),
    )


class _Joined(Cores, frozen=True, dict=True):
    domains: tuple[Cores, ...]

    @cached_property
    @override
    def whole(self) -> tuple[int, ...]:
        whole = (core for domain in self.domains for core in domain.whole)
        return tuple(sorted(whole, key=int.bit_count))

    @cached_property
    @override
    def loose_cores(self) -> list[Loose]:
        cores = (core for domain in self.domains for core in domain.loose_cores)
        return sorted(cores, key=attrgetter("free", "size", "entire"))


# ---- what domains offer ----


class _Offer(NamedTuple):
    domain: Cores
    whole: int  # threads, or cores for `isolate`, that are only taken by whole cores
    loose: int  # threads of which any number is taken
    lone: bool = False  # one thread more, which only the emulator may take


class _Wanted(NamedTuple):
    amount: int  # threads, or cores for `isolate`
    exactly: bool  # without breaking a core
    size: int  # of all whole cores; 0 where they differ


def fewest(
    cell: Cores, domains: Sequence[Cores], policy: ThreadPolicy | None, vcpus: int, reserved: int
) -> list[Cores]:
    """The domains for so many vCPUs, and 0 or 1 emulator pCPU, which the cell must have."""
    if policy == "isolate":
        return _isolated(cell, domains, vcpus + reserved)
    exactly = not broken(cell, policy, vcpus, reserved)
    offers = [_offer(domain, policy, reserved) for domain in domains]
    return _taken(offers, _Wanted(vcpus + reserved, exactly, cell.core_size))


def _offer(domain: Cores, policy: ThreadPolicy | None, reserved: int) -> _Offer:
    if policy != "require":
        return _Offer(domain, domain.whole_threads, domain.loose_threads)
    lone = bool(reserved) and domain.loose_threads > domain.paired_threads
    return _Offer(domain, domain.whole_threads, domain.paired_threads, lone)


def _isolated(cell: Cores, domains: Sequence[Cores], wanted: int) -> list[Cores]:
    """Cores of one thread break none when they are taken: as many of them as there are."""
    if wanted <= cell.singles:  # case 3a
        singles = [_Offer(domain, 0, domain.singles) for domain in domains]
        return _taken(singles, _Wanted(wanted, False, 1))
    # case 3b
    must = [domain for domain in domains if domain.singles]
    missing = wanted - cell.singles - sum(domain.whole_cores for domain in must)
    others = [_Offer(d, d.whole_cores, 0) for d in domains if not d.singles]
    return must + _taken(others, _Wanted(missing, False, 1))


# ---- which are taken ----


def _taken(offers: Sequence[_Offer], wanted: _Wanted) -> list[Cores]:
    """As few as there can be. Of several choices that one which has the most threads on whole
    cores, then the one that has the fewest to spare.
    """
    if wanted.amount <= 0:
        return []
    numbers = range(_least(offers, wanted), len(offers) + 1)
    chosen = next(filter(None, (_choice(offers, number, wanted) for number in numbers)))
    return [offer.domain for offer in chosen]


def _choice(offers: Sequence[_Offer], number: int, wanted: _Wanted) -> Sequence[_Offer] | None:
    likely = [some for some in _likely(offers, number) if _suffices(some, wanted)]  # case 1
    if likely:
        return min(likely, key=lambda some: _preference(some, wanted))
    return None if wanted.size in (1, 2) else _with_lone(offers, number, wanted.amount)  # case 2


def _least(offers: Sequence[_Offer], wanted: _Wanted) -> int:
    """So many of the largest have enough threads, and fewer never have; 1 at least."""
    largest = sorted(map(_threads, offers), reverse=True)
    missing = wanted.amount - any(offer.lone for offer in offers)
    return 1 + sum(had < missing for had in accumulate(largest))


def _likely(offers: Sequence[_Offer], number: int) -> Iterator[list[_Offer]]:
    """The largest, or those with the most whole cores, and one more."""
    for key in (_whole, _threads)[:number]:
        largest = sorted(offers, key=key, reverse=True)
        for last in largest[number - 1 :]:
            yield [*largest[: number - 1], last]


def _whole(offer: _Offer) -> int:
    return offer.whole


def _threads(offer: _Offer) -> int:
    return offer.whole + offer.loose


def _suffices(offers: Sequence[_Offer], wanted: _Wanted) -> bool:
    loose = sum(offer.loose for offer in offers) + any(offer.lone for offer in offers)
    if sum(offer.whole for offer in offers) + loose < wanted.amount:
        return False
    if not wanted.exactly:
        return True
    if wanted.size:
        return loose >= wanted.amount % wanted.size
    sums = 1 << (any(offer.lone for offer in offers)) | 1
    for offer in offers:
        sums = _with(sums, offer, lshift)
    return bool(sums >> wanted.amount & 1)


def _preference(offers: Sequence[_Offer], wanted: _Wanted) -> tuple[int, int]:
    whole = sum(offer.whole for offer in offers)
    used = min(whole, wanted.amount - wanted.amount % (wanted.size or 1))
    return -used, sum(offer.domain.free for offer in offers)


# ---- sums of all choices ----


def _with_lone(offers: Sequence[_Offer], number: int, wanted: int) -> list[_Offer] | None:
    """The first so many offers that come to what is wanted, the emulator's lone thread in one."""
    for at, offer in enumerate(offers):
        if offer.lone:
            more = offer._replace(loose=offer.loose + 1)
            found = _exactly([*offers[:at], more, *offers[at + 1 :]], number, wanted)
            if found:
                return found
    return _exactly(offers, number, wanted)


def _exactly(offers: Sequence[_Offer], number: int, wanted: int) -> list[_Offer] | None:
    """The first so many offers, by their order, that come to what is wanted; None if none do."""
    most = (1 << wanted + 1) - 1
    after = [[1] * (number + 1)]  # of the offers from each on, the sums of at most 0, 1, … of them
    for offer in reversed(offers):
        later = after[-1]
        taken = (_with(sums, offer, lshift) & most for sums in later)
        after.append([1, *map(int.__or__, later[1:], taken)])
    if not after[-1][number] >> wanted & 1:
        return None
    chosen, missing = [], 1 << wanted
    for offer, later in zip(offers, after[-2::-1], strict=True):
        less = _with(missing, offer, rshift)
        if number and less & later[number - 1]:
            chosen.append(offer)
            missing, number = less, number - 1
    return chosen


def _with(sums: int, offer: _Offer, shift: Callable[[int, int], int]) -> int:
    """The sums that are reached with what the offer has, and any part of it, added or taken off."""
    for core in offer.domain.whole:
        sums |= shift(sums, core.bit_count())
    loose, step = offer.loose, 1
    while loose:
        part = min(step, loose)
        sums |= shift(sums, part)
        loose -= part
        step *= 2
    return sums
